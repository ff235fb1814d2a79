import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { readError, writeError } from "./file-error.ts";
import { replaceFile } from "./replace-file.ts";

const folder = mkdtempSync(join(tmpdir(), "idlm-replace-"));
beforeEach(() => {
  rmSync(folder, { recursive: true });
  mkdirSync(folder);
});
afterAll(() => rmSync(folder, { recursive: true }));

const messageOf = (path: string) => {
  try {
    replaceFile(path, [new Uint8Array(1)]);
    return "written";
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return `${code}: ${message.replace(folder, "")}`;
  }
};

describe("replaceFile of a path that cannot be written", () => {
  it("names the reason, and leaves nothing behind", () => {
    mkdirSync(join(folder, "taken", "sub"), { recursive: true });
    replaceFile(join(folder, "file"), [new Uint8Array(1)]);
    expect(messageOf(join(folder, "none", "x"))).toBe(
      "file-unwritable: /none/x: cannot be written: there is no such folder.",
    );
    expect(messageOf(join(folder, "file", "x"))).toMatch(/^file-unwritable: .*there is no such folder/);
    expect(messageOf(join(folder, "taken"))).toBe("file-unwritable: /taken: cannot be written: it is a folder.");
    expect(readdirSync(folder).sort()).toEqual(["file", "taken"]);
  });

  it.each([
    ["ENOSPC", "the disk is full"],
    ["EACCES", "no permission"],
    ["EROFS", "the file system is read-only"],
    ["EIO", "EIO: what the system says"],
  ])("gives a reason for %s", (code, reason) => {
    const error = Object.assign(new Error(`${code}: what the system says`), { code });
    expect(writeError("x", error).message).toBe(`x: cannot be written: ${reason}.`);
    expect(readError("x", error).message).toBe(`x: cannot be read: ${reason}.`);
  });
});
