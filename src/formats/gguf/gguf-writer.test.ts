import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { byteLength, ggmlTypeId, typeLayout } from "../tensor/tensor-type.ts";
import { openGguf } from "./gguf.ts";
import type { GgufValue } from "./gguf-metadata.ts";
import { type GgufTensorToWrite, writeGguf } from "./gguf-writer.ts";

const folder = mkdtempSync(join(tmpdir(), "idlm-gguf-writer-"));
const path = join(folder, "made.gguf");
afterAll(() => rmSync(folder, { recursive: true }));

const string = fc.string({ unit: "grapheme" });
const value: fc.Arbitrary<GgufValue> = fc.oneof(
  string,
  fc.boolean(),
  fc.maxSafeInteger(),
  fc.double(),
  // Beyond the safe integers; smaller ones are read as numbers.
  fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
  fc.bigInt({ min: -(2n ** 63n), max: -(2n ** 53n) }),
  fc.uint8Array(),
  fc.int8Array(),
  fc.uint16Array(),
  fc.int16Array(),
  fc.uint32Array(),
  fc.int32Array(),
  fc.float32Array(),
  fc.float64Array(),
  fc.bigUint64Array(),
  fc.bigInt64Array(),
  fc.array(string),
  fc.array(fc.boolean(), { minLength: 1 }),
  fc.array(fc.array(string, { minLength: 1 }), { minLength: 1 }),
);
const types = ["F32", "F16", "BF16", "I8", "I64", "Q4_0", "Q8_0", "Q6_K", "IQ4_XS"] as const;

/** Tensors of up to 4 dimensions, with their bytes in one piece or in pieces of 7. */
const tensor = fc
  .record({
    name: string,
    type: fc.constantFrom(...types),
    rest: fc.array(fc.nat({ max: 3 }), { maxLength: 3 }),
    inPieces: fc.boolean(),
    fill: fc.nat({ max: 255 }),
  })
  .map(({ name, type, rest, inPieces, fill }): GgufTensorToWrite & { bytes: Uint8Array } => {
    const dimensions = [typeLayout(type).blockSize * 2, ...rest];
    const nElements = dimensions.reduce((product, n) => product * n, 1);
    const bytes = Uint8Array.from({ length: byteLength(type, nElements) ?? 0 }, (_, i) => (i + fill) % 256);
    return { name, type, dimensions, bytes, data: inPieces ? piecesOf(bytes, 7) : bytes };
  });

function piecesOf(bytes: Uint8Array, length: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.length / length) }, (_, i) =>
    bytes.subarray(length * i, length * (i + 1)),
  );
}

describe("writeGguf", () => {
  it("writes what openGguf reads", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(string, value), { selector: ([key]) => key, maxLength: 6 }),
        fc.uniqueArray(tensor, { selector: ({ name }) => name, maxLength: 4 }),
        fc.constantFrom(undefined, 1, 8, 64),
        (metadata, tensors, alignment) => {
          fc.pre(metadata.every(([key]) => key !== "general.alignment" && key !== "split.count"));
          writeGguf(path, { metadata, tensors, ...(alignment === undefined ? {} : { alignment }) });
          const file = openGguf(path);
          const read = [...file.metadata].filter(([key]) => key !== "general.alignment");
          expect(read).toEqual(metadata);
          expect(file.metadata.get("general.alignment")).toBe(alignment);
          expect(
            [...file.tensors.values()].map(({ name, type, shape, bytes }) => ({ name, type, shape, bytes })),
          ).toEqual(
            tensors.map(({ name, type, dimensions, bytes }) => ({
              name,
              type,
              shape: [...dimensions].reverse(),
              bytes,
            })),
          );
          for (const { offset } of file.tensors.values()) expect(offset % (alignment ?? 32)).toBe(0);
          file.close();
        },
      ),
    );
  });

  it("writes numbers of an explicit type", () => {
    const types = ["u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64"] as const;
    writeGguf(path, { metadata: types.map((type) => [type, { type, value: 7 }]), tensors: [] });
    const bytes = readFileSync(path);
    const file = openGguf(path);
    for (const type of types) expect(file.metadata.get(type)).toBe(7);
    file.close();
    // A header of 24 bytes, and for each entry its key, type and value.
    expect(bytes.length).toBe(
      Math.ceil((24 + types.reduce((n, t) => n + 12 + t.length + Number(t.slice(1)) / 8, 0)) / 32) * 32,
    );
  });

  it("writes holes for tensors without data", () => {
    const dimensions = [1 << 20, 1 << 14];
    writeGguf(path, { metadata: [], tensors: [{ name: "large", type: "F16", dimensions }] });
    const { size, blocks } = statSync(path);
    expect(size).toBeGreaterThan(2 ** 35);
    expect(blocks * 512).toBeLessThan(2 ** 20);
    const file = openGguf(path);
    expect(file.tensors.get("large")?.nBytes).toBe(2 ** 35);
    file.close();
  });

  it.each([
    [
      "data of the wrong length",
      { name: "a", type: "F32", dimensions: [2], data: new Uint8Array(4) },
      /4 bytes of data, expected 8/,
    ],
    ["rows that do not fill blocks", { name: "a", type: "Q4_0", dimensions: [16, 2] }, /cannot be Q4_0/],
    ["types that GGUF does not have", { name: "a", type: "U8", dimensions: [2] }, /GGUF has no U8/],
  ] as const)("rejects %s, and leaves nothing behind", (_, tensor, message) => {
    rmSync(path, { force: true });
    expect(ggmlTypeId("U8")).toBeUndefined();
    expect(() => writeGguf(path, { metadata: [], tensors: [tensor] })).toThrow(message);
    expect(readdirSync(folder)).toEqual([]);
  });
});
