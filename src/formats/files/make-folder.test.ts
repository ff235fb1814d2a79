import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { makeFolder } from "./make-folder.ts";

const root = mkdtempSync(join(tmpdir(), "idlm-folder-"));
afterAll(() => rmSync(root, { recursive: true }));

const messageOf = (path: string) => {
  try {
    makeFolder(join(root, path));
    return "made";
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return `${code}: ${message.replace(root, "")}`;
  }
};

describe("makeFolder", () => {
  it("makes a folder and those above it, also twice", () => {
    expect([messageOf("a/b/c"), messageOf("a/b/c"), messageOf("a/b/d")]).toEqual(["made", "made", "made"]);
    expect(statSync(join(root, "a/b/d")).isDirectory()).toBe(true);
  });

  it("names the reason why it cannot be made", () => {
    writeFileSync(join(root, "file"), "");
    expect(messageOf("file")).toBe("file-unwritable: /file: cannot be written: it is not a folder.");
    expect(messageOf("file/x")).toBe("file-unwritable: /file/x: cannot be written: a folder above it is a file.");
    expect(messageOf("x".repeat(300))).toMatch(/^file-unwritable: .* its name is too long\.$/);
  });

  it.skipIf(process.platform !== "linux")("ends where no folder can be made", () => {
    expect(() => makeFolder("/proc/idlm/x")).toThrow("/proc/idlm/x: cannot be written: ");
  });

  it.skipIf(!canMount())("says of a file system that is read-only that it is", () => {
    const mounted = join(root, "mounted");
    makeFolder(mounted);
    mount("-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", mounted);
    try {
      for (const path of ["mounted/x", "mounted/x/y"]) {
        expect(messageOf(path)).toBe(`file-unwritable: /${path}: cannot be written: the file system is read-only.`);
      }
    } finally {
      execFileSync("umount", [mounted]);
    }
  });
});

function mount(...options: readonly string[]): void {
  execFileSync("mount", options, { stdio: "ignore" });
}

function canMount(): boolean {
  const folder = join(root, "probe");
  try {
    makeFolder(folder);
    mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", folder);
    execFileSync("umount", [folder]);
    return true;
  } catch {
    return false;
  }
}
