import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openGguf } from "../gguf/gguf.ts";
import { openSafetensors } from "../safetensors/safetensors.ts";
import { dequantise, toFloat32 } from "./dequantise.ts";
import { floatTypes, type TensorType, weightTypes } from "./tensor-type.ts";

const fixtures = join(import.meta.dirname, "../../../test/fixtures/gguf");
/** The full set of fixtures, of which this repository has a part. */
const allFixtures = join(import.meta.dirname, "../../../../shared/fixtures/gguf");

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

interface GoldenFile {
  readonly file: string;
  readonly tensors: Readonly<
    Record<string, { readonly type: string; readonly ne: readonly number[]; readonly sha256_f32: string }>
  >;
}

function readGoldens(folder: string): readonly GoldenFile[] {
  return (JSON.parse(readFileSync(join(folder, "golden.json"), "utf8")) as { files: GoldenFile[] }).files;
}

function expectGolden(folder: string, golden: GoldenFile): void {
  const gguf = openGguf(join(folder, golden.file));
  expect([...gguf.tensors.keys()].sort()).toEqual(Object.keys(golden.tensors).sort());
  for (const [name, { type, ne, sha256_f32 }] of Object.entries(golden.tensors)) {
    const tensor = gguf.tensors.get(name);
    if (tensor === undefined) throw new Error(`no tensor ${name}`);
    expect(tensor.type, name).toBe(type);
    expect(tensor.shape, name).toEqual([...ne].reverse());
    expect(
      createHash("sha256")
        .update(new Uint8Array(toFloat32(tensor).buffer))
        .digest("hex"),
      name,
    ).toBe(sha256_f32);
  }
  gguf.close();
}

describe("dequantise", () => {
  const blocks = openSafetensors(join(fixtures, "blocks.safetensors"));
  const types = [...blocks.tensors.keys()]
    .filter((name) => name.endsWith(".raw"))
    .map((name) => name.slice(0, -4) as TensorType);

  it.each(types)("%s gives the bits of ggml for random blocks", (type) => {
    const raw = blocks.tensors.get(`${type}.raw`);
    const golden = blocks.tensors.get(`${type}.f32`);
    if (raw === undefined || golden === undefined) throw new Error(`no blocks of ${type}`);
    const values = new Float32Array(golden.bytes.length / 4);
    dequantise(type, raw.bytes, values);
    expect(bitsOf(values)).toEqual(bitsOf(toFloat32(golden)));
  });

  it("covers all block types", () => {
    const integers = [...weightTypes].filter((type) => !floatTypes.has(type));
    expect([...types].sort()).toEqual(integers.sort());
  });

  it.each(readGoldens(fixtures))("gives the bits of ggml for every tensor of $file", (golden) => {
    expectGolden(fixtures, golden);
  });

  const others = existsSync(allFixtures) ? readGoldens(allFixtures) : [];
  describe.skipIf(others.length === 0)("with all quantised fixtures (skipped without ../shared)", () => {
    it.each(others)("gives the bits of ggml for every tensor of $file", (golden) => {
      expectGolden(allFixtures, golden);
    });
  });

  it("rejects a length that does not fit", () => {
    expect(() => dequantise("Q4_0", new Uint8Array(18), new Float32Array(31))).toThrow(RangeError);
    expect(() => dequantise("BOOL", new Uint8Array(1), new Float32Array(1))).toThrow(RangeError);
  });
});
