import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { IdlmError } from "../../errors.ts";
import { tensorOf } from "../../formats/safetensors/safetensors-writer.ts";
import type { CheckpointContent } from "./checkpoint-file.ts";
import { CheckpointFolder } from "./checkpoint-folder.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "idlm-checkpoints-"));
});
afterEach(() => rmSync(root, { recursive: true }));

const content = (value: number): CheckpointContent => ({
  tensors: new Map([
    ["value.a", tensorOf(Float32Array.of(value, 2, 3, 4), [2, 2])],
    ["round_starts", tensorOf(Int32Array.of(-1, 7))],
  ]),
  state: JSON.stringify({ step: value }),
});

const fail = (error: IdlmError) => {
  throw error;
};

describe("CheckpointFolder", () => {
  it("reads the newest checkpoint back", () => {
    const folder = new CheckpointFolder(join(root, "new", "checkpoints"));
    expect(folder.readNewest(fail)).toBeUndefined();
    folder.write(9, content(9));
    folder.write(10, content(10));
    expect(folder.steps).toEqual([9, 10]);
    expect(folder.readNewest(fail)).toEqual({ ...content(10), step: 10, path: folder.pathOf(10) });
  });

  it("names a damaged checkpoint, wherever a byte of it changed, and uses the one before it", () => {
    const folder = new CheckpointFolder(root);
    folder.write(1, content(1));
    folder.write(2, content(2));
    const path = folder.pathOf(2);
    const bytes = readFileSync(path);
    for (let at = 0; at < bytes.length; at++) {
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      writeFileSync(path, damaged);
      const errors: IdlmError[] = [];
      const found = folder.readNewest((error) => errors.push(error));
      // White space that pads the header, and spelling of names of its JSON, can change without a change of the content.
      if (found?.step === 2) expect(found).toEqual({ ...content(2), step: 2, path });
      else expect(errors.map(({ message }) => message)).toEqual([expect.stringContaining(path)]);
    }
    truncateSync(path, bytes.length - 1);
    expect(folder.readNewest(() => {})?.step).toBe(1);
  });

  it("fails where all checkpoints are damaged, since a new start would lose them", () => {
    const folder = new CheckpointFolder(root);
    folder.write(1, content(1));
    const bytes = readFileSync(folder.pathOf(1));
    bytes[bytes.length - 1] = 0xff;
    writeFileSync(folder.pathOf(1), bytes);
    expect(() => folder.readNewest(fail)).toThrow(/step-000000001\.safetensors: SHA-256 is/);
  });

  it("removes old checkpoints and what killed writes left, and nothing else", () => {
    const folder = new CheckpointFolder(root);
    for (const step of [1, 2, 3]) folder.write(step, content(step));
    writeFileSync(`${folder.pathOf(4)}.0a1b2c3d4e5f.tmp`, "half");
    writeFileSync(join(root, "notes.txt"), "mine");
    folder.keepOnly([2, 3]);
    expect(folder.steps).toEqual([2, 3]);
    expect(existsSync(`${folder.pathOf(4)}.0a1b2c3d4e5f.tmp`)).toBe(false);
    expect(existsSync(join(root, "notes.txt"))).toBe(true);
  });
});
