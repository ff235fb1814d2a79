import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  closeSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { readError, writeError } from "./file-error.ts";
import { canMakeDevices } from "../../../test/support/devices.ts";
import { writeOutput } from "./write-output.ts";

const folder = mkdtempSync(join(tmpdir(), "idlm-replace-"));
beforeEach(() => {
  rmSync(folder, { recursive: true });
  mkdirSync(folder);
});
afterAll(() => rmSync(folder, { recursive: true }));

const messageOf = (path: string) => {
  try {
    writeOutput(path, [new Uint8Array(1)]);
    return "written";
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return `${code}: ${message.replace(folder, "")}`;
  }
};

describe("writeOutput to a path that cannot be written", () => {
  it("names the reason, and leaves nothing behind", () => {
    mkdirSync(join(folder, "taken", "sub"), { recursive: true });
    writeOutput(join(folder, "file"), [new Uint8Array(1)]);
    expect(messageOf(join(folder, "none", "x"))).toBe(
      "file-unwritable: /none/x: cannot be written: there is no such folder.",
    );
    expect(messageOf(join(folder, "file", "x"))).toMatch(/^file-unwritable: .*there is no such folder/);
    expect(messageOf(join(folder, "taken"))).toBe("file-unwritable: /taken: cannot be written: it is a folder.");
    expect(readdirSync(folder).sort()).toEqual(["file", "taken"]);
  });

  it.each([
    ["ENOSPC", "no space left on device"],
    ["EPIPE", "the reader has closed the pipe"],
    ["EACCES", "no permission"],
    ["EROFS", "the file system is read-only"],
    ["EIO", "EIO: what the system says"],
  ])("gives a reason for %s", (code, reason) => {
    const error = Object.assign(new Error(`${code}: what the system says`), { code });
    expect(writeError("x", error).message).toBe(`x: cannot be written: ${reason}.`);
    expect(readError("x", error).message).toBe(`x: cannot be read: ${reason}.`);
  });
});

const bytes = (text: string) => [Buffer.from(text)];
const modeOf = (path: string) => statSync(path).mode & 0o7777;

describe("what an output is stays", () => {
  it("a regular file has the mode it had, and a new one the default", () => {
    const path = join(folder, "file");
    const fresh = join(folder, "fresh");
    writeFileSync(path, "old");
    chmodSync(path, 0o640);
    writeOutput(path, bytes("new"));
    writeOutput(fresh, bytes("new"));
    expect([readFileSync(path, "utf8"), modeOf(path)]).toEqual(["new", 0o640]);
    expect(modeOf(fresh)).toBe(0o666 & ~process.umask());
    expect(readdirSync(folder).sort()).toEqual(["file", "fresh"]);
  });

  it("a link, also one to another link or to nothing yet", () => {
    writeFileSync(join(folder, "target"), "old");
    symlinkSync("target", join(folder, "link"));
    symlinkSync(join(folder, "link"), join(folder, "second"));
    symlinkSync("later", join(folder, "dangling"));
    for (const name of ["second", "dangling"]) writeOutput(join(folder, name), bytes(name));
    for (const name of ["link", "second", "dangling"]) {
      expect(lstatSync(join(folder, name)).isSymbolicLink()).toBe(true);
    }
    expect(readFileSync(join(folder, "target"), "utf8")).toBe("second");
    expect(readFileSync(join(folder, "later"), "utf8")).toBe("dangling");
    symlinkSync("circle", join(folder, "circle"));
    expect(messageOf(join(folder, "circle"))).toContain("too many symbolic links");
    symlinkSync(join("none", "x"), join(folder, "lost"));
    expect(messageOf(join(folder, "lost"))).toContain("there is no such folder");
  });

  it("a named pipe, which gets every byte", async () => {
    const path = join(folder, "pipe");
    execFileSync("mkfifo", [path]);
    const reader = spawn("cat", [path]);
    const chunks: Buffer[] = [];
    reader.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
    const ended = once(reader, "close");
    writeOutput(path, [Buffer.from("begin"), 100_000, Buffer.from("end")]);
    await ended;
    expect(Buffer.concat(chunks)).toEqual(
      Buffer.concat([Buffer.from("begin"), Buffer.alloc(100_000), Buffer.from("end")]),
    );
    expect(lstatSync(path).isFIFO()).toBe(true);
  });

  it("a descriptor of this process", () => {
    const path = join(folder, "open");
    const descriptor = openSync(path, "w");
    writeSync(descriptor, "before ");
    writeOutput(`/dev/fd/${descriptor}`, bytes("within "));
    writeSync(descriptor, "after");
    closeSync(descriptor);
    expect(readFileSync(path, "utf8")).toBe("before within after");
  });

  it.skipIf(!canMakeDevices())("a device, also a full one", () => {
    const full = join(folder, "full");
    const sink = join(folder, "sink");
    execFileSync("mknod", [full, "c", "1", "7"]);
    execFileSync("mknod", [sink, "c", "1", "3"]);
    writeOutput(sink, bytes("nowhere"));
    expect(messageOf(full)).toBe("file-unwritable: /full: cannot be written: no space left on device.");
    for (const path of [full, sink]) expect(lstatSync(path).isCharacterDevice()).toBe(true);
    expect(readdirSync(folder).sort()).toEqual(["full", "sink"]);
  });

  it.skipIf(process.getuid?.() === 0)("a file that may not be written", () => {
    const path = join(folder, "locked");
    writeFileSync(path, "old", { mode: 0o444 });
    expect(messageOf(path)).toBe("file-unwritable: /locked: cannot be written: no permission.");
    expect(readFileSync(path, "utf8")).toBe("old");
  });
});
