import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { describeBackend, fixtures, loadFixture } from "../../../test/support/backend-contract.ts";
import { nativeTestBinding } from "../../../test/support/native-test-binding.ts";
import { describeSampling } from "../../../test/support/sampling-contract.ts";
import { describeProgram } from "../../../test/support/program-contract.ts";
import { openSafetensors } from "../../formats/safetensors/safetensors.ts";
import { toFloat32 } from "../../formats/tensor/dequantise.ts";
import type { Program } from "../program/program.ts";
import { neutralSettings } from "../sampling/settings.ts";
import { nativeBinding } from "./binding.ts";
import { createNativeBackend, supportedInstructionSets } from "./index.ts";

for (const instructionSet of supportedInstructionSets()) {
  describeBackend(`native ${instructionSet}`, () => createNativeBackend({ threads: 2, instructionSet }));
  describeSampling(`native ${instructionSet}`, () => createNativeBackend({ threads: 3, instructionSet }));
  describeProgram(`native ${instructionSet}`, () => createNativeBackend({ threads: 2, instructionSet }));
}

it("refuses types that it has no kernels for, by name", async () => {
  const asBytes = (program: Program): Program => ({
    ...program,
    parameters: Object.fromEntries(Object.entries(program.parameters).map(([id, w]) => [id, { ...w, type: "I8" }])),
  });
  const loading = loadFixture(createNativeBackend(), "gguf/tiny256-Q4_0.gguf", "gguf", {}, asBytes);
  await expect(loading).rejects.toMatchObject({ code: "unsupported", message: expect.stringContaining("I8") });
});

describe("panels hold the weights that the file holds", () => {
  const blocks = openSafetensors(join(fixtures, "gguf", "blocks.safetensors"));
  const types = [...blocks.tensors.keys()].filter((name) => name.endsWith(".raw")).map((name) => name.slice(0, -4));

  it.each(types)("%s", (type) => {
    const raw = blocks.tensors.get(`${type}.raw`);
    const golden = blocks.tensors.get(`${type}.f32`);
    if (raw === undefined || golden === undefined) throw new Error(`no blocks of ${type}`);
    const [nBlocks, blockSize] = golden.shape as [number, number];
    // Rows of one block, of several chunks, and of chunks that are not whole; numbers of rows that do not fill panels.
    for (const perRow of [1, 2, 3, 5]) {
      const rows = Math.floor(nBlocks / perRow);
      const cols = perRow * blockSize;
      const used = raw.bytes.slice(0, (raw.bytes.length / nBlocks) * rows * perRow);
      const found = nativeTestBinding().repacked(type, rows, cols, used);
      const expected = toFloat32(golden).subarray(0, rows * cols);
      // + 0: minus zero is zero in a product.
      expect(found.map((v) => v + 0)).toEqual(expected.map((v) => v + 0));
    }
  });
});

it("refuses threads and instruction sets that are not there", () => {
  expect(() => createNativeBackend({ threads: 0 })).toThrow(/threads/);
  expect(() => createNativeBackend({ instructionSet: "sse" as never })).toThrow(/sse/);
});

it("refuses a sampling setting that it does not have", () => {
  const { logitBias: _, ...numbers } = neutralSettings;
  const settings = { ...numbers, biasTokens: new Int32Array(), biasValues: new Float32Array() };
  expect(new (nativeBinding().Sampler)(settings)).toBeDefined();
  const unknown = { ...settings, typicalP: 0.5 };
  expect(() => new (nativeBinding().Sampler)(unknown)).toThrow(/settings\.typicalP/);
});
