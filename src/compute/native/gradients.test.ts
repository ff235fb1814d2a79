import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { fixtures } from "../../../test/support/backend-contract.ts";
import {
  describeFullGradients,
  describeGradients,
  openFixture,
  plainLoss,
  smallBatch,
  withAdapter,
} from "../../../test/support/gradient-contract.ts";
import { quantised } from "../../../test/support/quantised-program.ts";
import { readAdapter } from "../../formats/adapter/adapter.ts";
import { readMaskEmbeddingFile } from "../../formats/adapter/mask-embedding.ts";
import type { Backend } from "../backend.ts";
import type { GatedStep } from "../gradients/gated-step.ts";
import type { Program } from "../program/program.ts";
import { createReferenceBackend } from "../reference/index.ts";
import { createNativeBackend, supportedInstructionSets } from "./index.ts";

for (const instructionSet of supportedInstructionSets()) {
  describeGradients(`native (${instructionSet})`, () => createNativeBackend({ instructionSet }));
  describeFullGradients(`native (${instructionSet})`, () => createNativeBackend({ instructionSet }));
}

/** Some hundred MASK rows, in several blocks. */
const largeBatch = {
  nMasks: 3,
  sequences: [0, 1, 2].map((key) => ({
    key,
    tokens: Int32Array.from({ length: 90 + 30 * key }, (_, i) => (i * 37 + 11 * key * i + key) % 310),
    anchors: Int32Array.from({ length: 40 }, (_, i) => 2 * i + 3 * key),
  })),
};

function bitsOf({ gradients, ...step }: GatedStep) {
  const bits = (floats: Float32Array) =>
    Buffer.from(floats.buffer, floats.byteOffset, floats.byteLength).toString("hex");
  const { loss, rowLosses, overlap, targetRank, textRank, gradientNorm } = step;
  return {
    ...{ loss, gradientNorm, targetRank: [...targetRank], textRank: [...textRank] },
    ...{ rowLosses: bits(rowLosses), overlap: bits(overlap) },
    gradients: Object.fromEntries([...gradients].map(([id, gradient]) => [id, bits(gradient)])),
  };
}

describe("a native training step", () => {
  it.each([0, 1] as const)(
    "has the same bits on any instruction set and number of threads: entry layer %d",
    async (entry) => {
      await openFixture("models/llama-tiny", withAdapter(entry), async (float) => {
        const program = quantised(float, "Q4_1", "Q8_0");
        const loss = { mixture: { kl: 0.5, log_overlap: 1 }, depthWeights: [1, 0.7, 0.4], firstMiss: true };
        let expected: ReturnType<typeof bitsOf> | undefined;
        for (const instructionSet of supportedInstructionSets()) {
          for (const threads of [1, 2, 5]) {
            // One thread keeps the clean rows of a batch only.
            const cacheBytes = threads === 1 ? 0 : 2 ** 28;
            const model = await createNativeBackend({ instructionSet, threads }).loadGated(program, { cacheBytes });
            const first = bitsOf(await model.step(largeBatch, loss, true));
            expected ??= first;
            expect(first).toEqual(expected);
            // With the clean rows that it has kept, and after a step on others.
            await model.step(smallBatch, loss, true);
            expect(bitsOf(await model.step(largeBatch, loss, true))).toEqual(expected);
            // Without gradients, values share memory.
            const { gradients, gradientNorm, ...alone } = bitsOf(await model.step(largeBatch, loss, false));
            expect({ ...alone, gradients: expected.gradients, gradientNorm: expected.gradientNorm }).toEqual(expected);
            expect({ gradients, gradientNorm }).toEqual({ gradients: {}, gradientNorm: 0 });
            model.dispose();
          }
        }
      });
    },
    // With sanitizers, and five threads beside other programs on two cores.
    240_000,
  );

  it.each([0, 1] as const)(
    "has nearly the direction of float gradients where weights are quantised: entry layer %d",
    async (entry) => {
      await openFixture("models/llama-tiny", withAdapter(entry), async (float) => {
        const program = quantised(float, "Q4_1", "Q8_0");
        const gradientsBy = async (backward: "integer" | "float") => {
          const model = await createNativeBackend().loadGated(program, { backward });
          const { gradients } = await model.step(largeBatch, plainLoss("log_overlap", 3), true);
          model.dispose();
          return gradients;
        };
        const integer = await gradientsBy("integer");
        const exact = await gradientsBy("float");
        let [product, a, b] = [0, 0, 0];
        for (const [id, gradient] of integer) {
          const other = exact.get(id) as Float32Array;
          gradient.forEach((g, i) => {
            product += g * (other[i] as number);
            a += g * g;
            b += (other[i] as number) ** 2;
          });
        }
        expect(product / Math.sqrt(a * b)).toBeGreaterThan(0.999);
      });
    },
  );

  const maskEmbedding = (model: string) =>
    readMaskEmbeddingFile(join(fixtures, "gated", model, "mask_embedding.safetensors"));
  const windowed = (program: Program): Program => ({
    ...program,
    forward: program.forward.map((op) =>
      op.kind === "attention" ? { ...op, attributes: { ...op.attributes, window: 5 } } : op,
    ),
  });
  it.each([
    ["rank patterns, on q and v only", "qwen3-tiny", "qwen3-tiny-patterns", (program: Program) => program],
    ["a scale of alpha over the root of the rank", "qwen3-tiny", "qwen3-tiny-rslora", (program: Program) => program],
    ["a window of attention", "llama-tiny", "llama-tiny-lora", windowed],
  ] as const)("agrees with the reference: %s", async (_, model, adapter, change) => {
    const options = {
      adapter: readAdapter(join(fixtures, "peft", adapter)),
      maskEmbedding: maskEmbedding(model),
    };
    await openFixture(`models/${model}`, options, async (float) => {
      const program = change(float);
      const stepBy = async (backend: Backend) => {
        const trained = await backend.loadGated(program);
        const step = await trained.step(smallBatch, plainLoss("kl", 3), true);
        trained.dispose();
        return step;
      };
      const native = await stepBy(createNativeBackend());
      const reference = await stepBy(createReferenceBackend());
      expect(native.loss).toBeCloseTo(reference.loss, 5);
      expect([...native.gradients.keys()].sort()).toEqual([...reference.gradients.keys()].sort());
      for (const [id, gradient] of native.gradients) {
        const other = reference.gradients.get(id) as Float32Array;
        const difference = gradient.reduce((max, g, i) => Math.max(max, Math.abs(g - (other[i] as number))), 0);
        expect(difference, id).toBeLessThan(1e-5 * reference.gradientNorm);
      }
    });
  });
});
