import { execFileSync, spawnSync } from "node:child_process";
import { closeSync, lstatSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundleCli } from "../../test/support/cli-process.ts";
import { canMakeDevices } from "../../test/support/devices.ts";

const fixtures = fileURLToPath(new URL("../../test/fixtures/", import.meta.url));
const report = join(fixtures, "reports", "28-full-disk");
const model = join(report, "model.gguf");
const folder = mkdtempSync(join(tmpdir(), "idlm-outputs-"));
let main = "";
beforeAll(async () => {
  main = await bundleCli();
});
afterAll(() => {
  rmSync(folder, { recursive: true });
  rmSync(dirname(main), { recursive: true });
});

const env = { ...process.env, IDLM_HOME: join(folder, "cache") };
const text = ["run", model, "one", "--raw", "--max-tokens", "3"];
const forest = join(folder, "forest.json");
const request = { custom_id: "a", method: "POST", url: "/v1/completions", body: { prompt: "one", max_tokens: 2 } };
writeFileSync(forest, JSON.stringify({ tokens: [3, 4], positions: [0, 1], parents: [-1, 0], gate: [0, 0] }));
writeFileSync(join(folder, "requests.jsonl"), `${JSON.stringify({ ...request })}\n`);
const forward = ["forward", model, "--forest", forest, "--out"];
const batch = ["batch", model, "--in", join(folder, "requests.jsonl"), "--out"];

describe.skipIf(!canMakeDevices())("a full disk", () => {
  const full = join(folder, "full");
  beforeAll(() => execFileSync("mknod", [full, "c", "1", "7"]));

  /** Runs with a full disk as standard output. */
  function fullOutput(argv: readonly string[]) {
    const descriptor = openSync(full, "w");
    try {
      const { status, stderr } = spawnSync(process.execPath, [main, ...argv], {
        env,
        stdio: ["ignore", descriptor, "pipe"],
        encoding: "utf8",
      });
      return { status, stderr };
    } finally {
      closeSync(descriptor);
    }
  }

  const { status } = JSON.parse(readFileSync(join(report, "expected.json"), "utf8")) as { readonly status: number };
  it.each([
    ["run", text],
    ["run --quiet", [...text, "--quiet"]],
    ["run --json", [...text, "--json"]],
    ["inspect", ["inspect", model]],
    ["tokenize", ["tokenize", model, "one"]],
    ["completion", ["completion", "bash"]],
    ["the help", ["--help"]],
    ["the version", ["--version"]],
  ])("as standard output of %s", (_, argv) => {
    expect(fullOutput(argv)).toEqual({
      status,
      stderr: "error: standard output: cannot be written: no space left on device.\n",
    });
  });

  it.each([
    ["forward", forward],
    ["batch", batch],
  ])("as --out of %s, which stays a device", (_, argv) => {
    const result = spawnSync(process.execPath, [main, ...argv, full], { env, encoding: "utf8" });
    expect(result.stderr).toContain(`error: ${full}: cannot be written: no space left on device.`);
    expect(result.status).toBe(status);
    expect(lstatSync(full).isCharacterDevice()).toBe(true);
  });
});

describe("--out /dev/stdout", () => {
  it("writes to what standard output is", () => {
    const path = join(folder, "all.safetensors");
    const out = join(folder, "out.safetensors");
    const descriptor = openSync(path, "w");
    const stdio = ["ignore", descriptor, "pipe"] as const;
    spawnSync(process.execPath, [main, ...forward, "/dev/stdout", "--quiet"], { env, stdio: [...stdio] });
    closeSync(descriptor);
    spawnSync(process.execPath, [main, ...forward, out], { env });
    const written = readFileSync(path);
    expect(written.subarray(0, readFileSync(out).length)).toEqual(readFileSync(out));
  });

  it("whose reader goes away is no error", () => {
    const command = `"${process.execPath}" "${main}" ${batch.join(" ")} /dev/stdout; echo "status $?" >&2`;
    const { stderr } = spawnSync("bash", ["-c", `{ ${command}; } | true`], { env, encoding: "utf8" });
    expect(stderr).toContain("status 0");
  });
});
