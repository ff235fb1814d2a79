import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { toFloat32 } from "../tensor/dequantise.ts";
import { byteLength, type TensorType } from "../tensor/tensor-type.ts";
import { openSafetensors } from "./safetensors.ts";
import { openSafetensorsFolder, openShardedSafetensors } from "./safetensors-shards.ts";
import { type TensorToWrite, tensorOf, writeSafetensors } from "./safetensors-writer.ts";

const fixtures = join(import.meta.dirname, "../../../test/fixtures");
const folder = mkdtempSync(join(tmpdir(), "idlm-safetensors-"));
afterAll(() => rmSync(folder, { recursive: true }));

const tensorToWrite = fc
  .record({
    type: fc.constantFrom<TensorType>("F32", "F64", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"),
    shape: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }),
  })
  .chain(({ type, shape }): fc.Arbitrary<TensorToWrite> => {
    const length =
      byteLength(
        type,
        shape.reduce((product, dimension) => product * dimension, 1),
      ) ?? 0;
    return fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => ({ type, shape, bytes }));
  });

const tensorName = fc.oneof(
  fc.string({ unit: "binary", maxLength: 12 }),
  fc.constantFrom("__proto__", "constructor", "a.weight", '"\\'),
);

describe("writeSafetensors", () => {
  it("round-trips through openSafetensors", () => {
    const path = join(folder, "law.safetensors");
    const tensors = fc
      .dictionary(tensorName, tensorToWrite, { maxKeys: 6 })
      .map((entries) => new Map(Object.entries(entries)));
    fc.assert(
      fc.property(tensors, fc.dictionary(tensorName, fc.string(), { maxKeys: 3 }), (written, metadata) => {
        writeSafetensors(path, written, metadata);
        const file = openSafetensors(path);
        try {
          expect(new Set(file.tensors.keys())).toEqual(new Set(written.keys()));
          for (const [name, { type, shape, bytes }] of written) {
            const tensor = file.tensors.get(name);
            expect({ type: tensor?.type, shape: tensor?.shape }).toEqual({ type, shape });
            expect(Buffer.from(tensor?.bytes ?? []).equals(bytes)).toBe(true);
            // Aligned to its elements, so that a mapped file can be viewed as a typed array.
            expect((tensor?.offset ?? 1) % (byteLength(type, 1) ?? 1)).toBe(0);
          }
          expect([...file.metadata].sort()).toEqual(Object.entries(metadata).sort());
        } finally {
          file.close();
        }
      }),
      { numRuns: 300 },
    );
  });

  it("leaves nothing behind on failure, and keeps the old file", () => {
    const path = join(folder, "kept.safetensors");
    writeSafetensors(path, { a: tensorOf(Float32Array.of(1)) });
    const before = readdirSync(folder).sort();
    expect(() => writeSafetensors(path, { a: { type: "F32", shape: [2], bytes: new Uint8Array(4) } })).toThrow(
      /tensor a: 4 bytes/,
    );
    expect(() => writeSafetensors(join(folder, "nowhere/x"), {})).toThrow(/cannot be written: there is no such folder/);
    expect(readdirSync(folder).sort()).toEqual(before);
  });
});

describe("openSafetensors", () => {
  function open(header: string, data = new Uint8Array(8)): ReturnType<typeof openSafetensors> {
    const path = join(folder, "made.safetensors");
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(Buffer.byteLength(header)));
    writeFileSync(path, Buffer.concat([length, Buffer.from(header), data]));
    return openSafetensors(path);
  }

  it.each([
    [
      '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
      /key "a": expected once, found twice/,
    ],
    [
      '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"\\u0061":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
      /key "a": expected once, found twice/,
    ],
    [
      '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
      /data: expected 4 bytes, the sum of all tensors, found 8/,
    ],
    ['{"a":{"dtype":"F9","shape":[2],"data_offsets":[0,8]}}', /type "F9".*not supported/],
    ['{"a":{"shape":[2],"data_offsets":[0,8]}}', /dtype: expected a string/],
    ['{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}', /data_offsets: expected/],
    ['{"a":{"dtype":"F32","shape":[0.5,4],"data_offsets":[0,8]}}', /shape: expected whole numbers/],
    ['{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]}}', /shape: expected at most 8 numbers/],
    ['{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}', /expected two numbers/],
    ['{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4611686018427387904]}}', /data_offsets/],
    ['{"__metadata__":{"a":1}}', /__metadata__ "a": expected a string/],
    ["[]", /header: expected a JSON object, found an array/],
    ["", /header: expected JSON, found nothing/],
    ['{"a":"\xff', /header: expected JSON/],
  ])("rejects %s", (header, message) => {
    expect(() => open(header)).toThrow(message);
  });

  it("reads data only on use", () => {
    const { tensors, close } = openSafetensors(join(fixtures, "models/llama-tiny/model.safetensors"));
    const tensor = tensors.get("model.norm.weight");
    expect(tensor?.shape).toEqual([64]);
    expect(toFloat32(tensor ?? expect.fail())).toHaveLength(64);
    close();
    expect(() => tensor?.bytes).toThrow(/closed/);
  });

  it("rejects a folder", () => {
    expect(() => openSafetensors(folder)).toThrow(/not a regular file/);
  });
});

describe("openShardedSafetensors", () => {
  it("has the tensors of all shards", () => {
    const file = openSafetensorsFolder(join(fixtures, "models/qwen3-sharded"));
    expect(file.tensors.size).toBeGreaterThan(40);
    expect(file.tensors.get("lm_head.weight")?.shape).toEqual([320, 64]);
    for (const tensor of file.tensors.values()) expect(tensor.bytes.length).toBeGreaterThan(0);
    file.close();
  });

  it.each([
    ["/etc/passwd", /lies outside of the folder/],
    ["..", /lies outside of the folder/],
    ["a/../../b", /lies outside of the folder/],
    ["a\\..\\b", /lies outside of the folder/],
    ["C:model", /lies outside of the folder/],
    [7, /expected a file name, found 7/],
    ["", /expected a file name/],
    ["one.safetensors", /expected a tensor of "one.safetensors", found no such tensor/],
  ])("rejects the shard %j", (name, message) => {
    writeSafetensors(join(folder, "one.safetensors"), { b: tensorOf(Float32Array.of(1)) });
    const index = join(folder, "model.safetensors.index.json");
    writeFileSync(index, JSON.stringify({ weight_map: { a: name } }));
    expect(() => openShardedSafetensors(index)).toThrow(message);
  });
});
