import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { parseJson, readJson, readJsonObject } from "./json.ts";
import { sha256File } from "./sha256.ts";

const folder = mkdtempSync(join(tmpdir(), "idlm-json-"));
const path = join(folder, "made.json");
afterAll(() => rmSync(folder, { recursive: true }));

describe("readJson", () => {
  it("reads what JSON.stringify writes, indented or not", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), fc.constantFrom(undefined, 1, "\t"), (value, space) => {
        const text = JSON.stringify(value, undefined, space);
        expect(parseJson(Buffer.from(text), "x", "content")).toEqual(JSON.parse(text));
      }),
    );
  });

  it.each([
    ["", /expected JSON, found nothing/],
    ["{", /expected JSON, found something else/],
    ['{"a":1,}', /expected JSON, found something else at character 7/],
    ['"\\', /expected JSON/],
    ["[".repeat(100_000), /nested at most 64 deep/],
    [`${'{"a":'.repeat(65)}1${"}".repeat(65)}`, /nested at most 64 deep/],
    ['{"a":{"b":1},"c":[{"b":1,"b" : 2}]}', /key "b": expected once, found twice/],
    ['{"a":1,"\\u0061":2}', /key "a": expected once, found twice/],
    [Buffer.from([0x22, 0xff, 0x22]), /invalid UTF-8/],
  ])("refuses %j", (content, message) => {
    writeFileSync(path, content);
    expect(() => readJson(path)).toThrow(message);
  });

  it("accepts the same key in two objects, and brackets and colons in strings", () => {
    writeFileSync(path, '{"a":{"b":"]}}:"},"c":{"b":"\\"b\\":"},"d":["b","b"]}');
    expect(readJson(path, { maxDepth: 2 })).toEqual({ a: { b: "]}}:" }, c: { b: '"b":' }, d: ["b", "b"] });
  });

  it("enforces its limits", () => {
    writeFileSync(path, "[[1]]");
    expect(() => readJson(path, { maxBytes: 4 })).toThrow(/size: expected at most 4 bytes, found 5/);
    expect(() => readJson(path, { maxDepth: 1 })).toThrow(/nested at most 1 deep/);
    expect(() => readJsonObject(path)).toThrow(/expected a JSON object, found an array/);
  });

  it("adds the hint for a missing file", () => {
    expect(() => readJson(join(folder, "none"), {}, "Make one.")).toThrow(/none: no such file or folder. Make one./);
  });
});

describe("sha256File", () => {
  it("gives the known digest of abc, and reports progress", async () => {
    writeFileSync(path, "abc");
    const done: number[] = [];
    expect(await sha256File(path, (bytes) => done.push(bytes))).toBe(
      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    );
    expect(done).toEqual([3]);
  });

  it("stops on abort, and reports a missing file", async () => {
    writeFileSync(path, Buffer.alloc(1 << 20));
    await expect(sha256File(path, undefined, AbortSignal.abort())).rejects.toMatchObject({ name: "AbortError" });
    await expect(sha256File(join(folder, "none"))).rejects.toMatchObject({ code: "file-missing" });
  });
});
