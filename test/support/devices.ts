import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Whether this process may make device nodes (root) in a temporary folder, and use them there. */
export function canMakeDevices(): boolean {
  const folder = mkdtempSync(join(tmpdir(), "idlm-device-"));
  try {
    execFileSync("mknod", [join(folder, "null"), "c", "1", "3"], { stdio: "ignore" });
    writeFileSync(join(folder, "null"), "x");
    return true;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
