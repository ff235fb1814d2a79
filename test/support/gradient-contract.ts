import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Backend } from "../../src/compute/backend.ts";
import {
  adamWDefaults,
  adamWStep,
  clippingFactor,
  gradientNorm,
  newMoments,
} from "../../src/compute/gradients/adamw.ts";
import type { GatedBatch, GatedSequence, LossSettings, RowLoss } from "../../src/compute/gradients/gated-step.ts";
import { type RepeatedSteps, repeatSteps, type TrainedTensor } from "../../src/compute/gradients/repeated-steps.ts";
import { logSoftmax, lossOfMaskRow } from "../../src/compute/gradients/row-losses.ts";
import { gatedForest } from "../../src/compute/gradients/training-forests.ts";
import type { LoadedModel } from "../../src/compute/loaded-model.ts";
import { loadedValues } from "../../src/compute/program/loaded-values.ts";
import { draftVocabularyOf, type Parameter, type Program } from "../../src/compute/program/program.ts";
import { readAdapter } from "../../src/formats/adapter/adapter.ts";
import { readMaskEmbeddingFile } from "../../src/formats/adapter/mask-embedding.ts";
import { trainedTensorName, trainedTensorShape } from "../../src/model/compile/parameters.ts";
import { type CompileOptions, compileProgram } from "../../src/model/compile.ts";
import { openModel } from "../../src/model/open/open-model.ts";
import { fixtures, golden, goldenTensors } from "./backend-contract.ts";
import { quantised } from "./quantised-program.ts";

/** Tolerances of the fixtures' README. */
const NOISE_FACTOR = 8;
const MAX_MEAN_OF_FINAL = 1e-5;

export function openFixture<T>(
  model: string,
  options: CompileOptions,
  use: (program: Program) => Promise<T>,
): Promise<T> {
  const opened = openModel(join(fixtures, model), "huggingface");
  return use(compileProgram(opened, options)).finally(() => opened.close());
}

/** A program with an adapter of test/fixtures/idlm: sampler head, draft vocabulary, MASK embeddings by depth. */
export const withAdapter = (entryLayer: 0 | 1): CompileOptions => ({
  adapter: readAdapter(join(fixtures, "idlm", `llama-tiny-entry${entryLayer}`)),
});

/** Loss settings of one loss with equal weights. */
export function plainLoss(loss: RowLoss, nMasks: number): LossSettings {
  return { mixture: { [loss]: 1 }, depthWeights: Array<number>(nMasks).fill(1), firstMiss: false };
}

export const smallBatch: GatedBatch = {
  sequences: [
    {
      key: 0,
      tokens: Int32Array.of(5, 17, 201, 44, 90, 33, 8, 120, 77, 12, 300, 64),
      anchors: Int32Array.of(2, 5, 10),
    },
    {
      key: 1,
      tokens: Int32Array.from({ length: 40 }, (_, i) => (i * 37 + 11) % 310),
      anchors: Int32Array.of(14, 15, 33),
    },
  ],
  nMasks: 3,
};

/** Trainable parameters of a program as float32. */
export function trainedTensors(program: Program, isTrained: (id: string) => boolean): Map<string, TrainedTensor> {
  return new Map(
    Object.entries(program.parameters)
      .filter(([id]) => isTrained(id))
      .map(([id, parameter]) => {
        return [id, { shape: trainedTensorShape(program, id), values: loadedValues(id, parameter).slice() }];
      }),
  );
}

const steps = { ...adamWDefaults, learningRate: 1e-3, weightDecay: 0.1, nSteps: 8 };

/** The contract of backends with full training. */
export function describeFullGradients(name: string, createBackend: () => Backend): void {
  describe(`gradients of full training by the ${name} backend`, () => {
    it.each(["full-b2", "full-b3"])("agree with PyTorch: %s", async (fixture) => {
      const { tokens, prompt_length, block, alpha, mask_token_id, model, noise, ...rest } = golden(
        "training",
        fixture,
        "golden.json",
      );
      await openFixture(`models/${model}`, {}, async (program) => {
        const trained = trainedTensors(program, () => true);
        const loaded = await createBackend().loadFull(program);
        const isResponse = Uint8Array.from(tokens as number[], (_, i) => (i < prompt_length ? 0 : 1));
        const batch = {
          sequences: [{ tokens: Int32Array.from(tokens as number[]), isResponse }],
          noise: { block, maskToken: mask_token_id },
          alpha,
        };
        const result = await repeatSteps(
          {
            step: (wantsGradients) => loaded.step(batch, wantsGradients),
            replaceParameters: (values) => loaded.replaceParameters(values),
          },
          trained,
          steps,
        );
        loaded.dispose();
        expectGolden(result, trained, rest, noise, goldenTensors("training", fixture, "golden.safetensors"), "");
      });
    });
  });
}

/** The contract of gated training. Each backend's test calls this. */
export function describeGradients(name: string, createBackend: () => Backend): void {
  describe(`gradients of gated training by the ${name} backend`, () => {
    describe.each(["gated-llama-m3", "gated-qwen3-m2"])("agree with PyTorch: %s", (fixture) => {
      it.each(["kl", "tv", "log_overlap"] as const)("%s", async (loss) => {
        const file = golden("training", fixture, "golden.json");
        const options = {
          adapter: readAdapter(join(fixtures, "peft", file.adapter)),
          maskEmbedding: readMaskEmbeddingFile(
            join(fixtures, "gated", file.mask_embedding, "mask_embedding.safetensors"),
          ),
        };
        await openFixture(`models/${file.model}`, options, async (program) => {
          const trained = trainedTensors(program, (id) => program.parameters[id]?.isTrainable === true);
          const loaded = await createBackend().loadGated(program);
          const sequence = { key: 0, tokens: Int32Array.from(file.tokens), anchors: Int32Array.from(file.anchors) };
          const batch = { sequences: [sequence], nMasks: file.m };
          const { rowLosses } = await loaded.step(batch, plainLoss(loss, file.m), false);
          expectWithin(rowLosses, file[loss].rows, NOISE_FACTOR * file[loss].noise.rows);
          const result = await repeatSteps(
            {
              step: (wantsGradients) => loaded.step(batch, plainLoss(loss, file.m), wantsGradients),
              replaceParameters: (values) => loaded.replaceParameters(values),
            },
            trained,
            steps,
          );
          loaded.dispose();
          const tensors = goldenTensors("training", fixture, "golden.safetensors");
          expectGolden(result, trained, file[loss], file[loss].noise, tensors, `${loss}.`);
        });
      });
    });

    it.each([0, 1] as const)("are slopes of the loss: adapter with entry layer %d", async (entryLayer) => {
      await openFixture("models/llama-tiny", withAdapter(entryLayer), async (program) => {
        const model = await createBackend().loadGated(program);
        const trained = trainedTensors(program, (id) => program.parameters[id]?.isTrainable === true);
        // The slopes of the other losses jump at p = q; the goldens cover those.
        const losses = fc.constantFrom<LossSettings>(plainLoss("kl", 3), {
          mixture: { kl: 0.3 },
          depthWeights: [1, 0.5, 0.25],
          firstMiss: false,
        });
        await fc.assert(
          fc.asyncProperty(fc.constantFrom(...trained.keys()), losses, fc.nat(1e6), async (id, loss, seed) => {
            const { gradients } = await model.step(smallBatch, loss, true);
            const { values } = trained.get(id) as TrainedTensor;
            const gradient = gradients.get(id) as Float32Array;
            expect(gradient).toHaveLength(values.length);
            const direction = directionAlong(gradient, seed);
            const along = gradient.reduce((sum, g, i) => sum + g * (direction[i] as number), 0);
            const lossAt = async (t: number) => {
              await model.replaceParameters(new Map([[id, values.map((v, i) => v + t * (direction[i] as number))]]));
              return (await model.step(smallBatch, loss, false)).loss;
            };
            const slopeOver = async (h: number) => ((await lossAt(h)) - (await lossAt(-h))) / (2 * h);
            // Steps large enough for float32; Richardson extrapolation removes the error of the third derivative.
            const slope = (4 * (await slopeOver(2e-3)) - (await slopeOver(4e-3))) / 3;
            await model.replaceParameters(new Map([[id, values]]));
            expect(Math.abs(slope - along)).toBeLessThan(0.01 * Math.abs(along) + 3e-4);
          }),
          { numRuns: 25 },
        );
        model.dispose();
      });
    });

    describe.each([
      ["float weights", (program: Program) => program],
      ["quantised weights", (program: Program) => quantised(program, "Q4_1", "Q8_0")],
    ])("%s", (_, weightsOf) => {
      it.each([0, 1] as const)("come with the losses and ranks of a forward: entry layer %d", async (entryLayer) => {
        await openFixture("models/llama-tiny", withAdapter(entryLayer), async (float) => {
          const program = weightsOf(float);
          const backend = createBackend();
          const model = await backend.loadGated(program);
          const mixture = { kl: 1, tv: 0.5, log_overlap: 0.25 };
          const step = await model.step(smallBatch, { mixture, depthWeights: [1, 1, 1], firstMiss: false }, false);
          model.dispose();
          const loaded = await backend.load(program);
          const expected = [];
          for (const sequence of smallBatch.sequences)
            expected.push(...(await resultsOfForward(loaded, sequence, mixture)));
          loaded.dispose();
          expect([...step.targetRank]).toEqual(expected.map(({ target }) => target));
          expect([...step.textRank]).toEqual(expected.map(({ text }) => text));
          expect(new Set(step.textRank).size).toBeGreaterThan(3);
          expected.forEach(({ loss, overlap }, row) => {
            expect(Math.abs((step.rowLosses[row] as number) - loss)).toBeLessThan(1e-5 * Math.abs(loss));
            expect(Math.abs((step.overlap[row] as number) - overlap)).toBeLessThan(1e-5 * overlap);
          });
        });
      });
    });

    it("are used in steps of AdamW", async () => {
      await openFixture("models/llama-tiny", withAdapter(1), async (program) => {
        const [model, other] = [await createBackend().loadGated(program), await createBackend().loadGated(program)];
        const settings = { ...adamWDefaults, learningRate: 1e-2 };
        const started = () =>
          [...trainedTensors(program, (id) => program.parameters[id]?.isTrainable === true)].map(
            ([id, { values }]) => [id, { values, ...newMoments(values.length), weightDecay: 0.1 }] as const,
          );
        const [own, expected] = [started(), started()];
        for (let step = 1; step <= 3; step++) {
          const { gradients, gradientNorm: norm } = await model.step(smallBatch, plainLoss("kl", 3), true);
          expect(norm).toBeCloseTo(gradientNorm(gradients.values()), 6);
          const factor = clippingFactor(norm);
          const tensors = own.map(
            ([id, tensor]) => [id, { ...tensor, gradient: gradients.get(id) as Float32Array }] as const,
          );
          await model.update(new Map(tensors), { ...settings, step, factor });
          const theirs = await other.step(smallBatch, plainLoss("kl", 3), true);
          expect(theirs.loss).toBeCloseTo((await other.step(smallBatch, plainLoss("kl", 3), false)).loss, 12);
          for (const [id, { values, weightDecay, ...moments }] of expected) {
            adamWStep(values, theirs.gradients.get(id) as Float32Array, moments, step, {
              ...settings,
              weightDecay,
              factor,
            });
          }
          await other.replaceParameters(new Map(expected.map(([id, { values }]) => [id, values])));
        }
        for (const [i, [id, { values }]] of own.entries()) {
          expectWithin(values, expected[i]?.[1].values ?? [], 1e-5, id);
        }
        const lossOf = async (by: typeof model) => (await by.step(smallBatch, plainLoss("kl", 3), false)).loss;
        expect(await lossOf(model)).toBeCloseTo(await lossOf(other), 5);
        model.dispose();
        other.dispose();
      });
    });

    it("exclude rows after a miss, and are weighted by depth", async () => {
      await openFixture("models/llama-tiny", withAdapter(0), async (program) => {
        const model = await createBackend().loadGated(program);
        const loss = { mixture: { kl: 1 }, depthWeights: [1, 0.5, 0.25], firstMiss: true };
        const step = await model.step(smallBatch, loss, false);
        const depths = [1, 2, 3, 1, 2, 3, 1, 1, 2, 3, 1, 2, 3, 1, 2, 3];
        expect(step.rowLosses).toHaveLength(depths.length);
        let isKept = true;
        const weights = depths.map((depth, i) => {
          if (depth === 1) isKept = true;
          const weight = isKept ? (loss.depthWeights[depth - 1] as number) : 0;
          isKept &&= step.targetRank[i] === 0;
          return weight;
        });
        const total = weights.reduce((a, b) => a + b, 0);
        const expected = weights.reduce((sum, w, i) => sum + (w * (step.rowLosses[i] as number)) / total, 0);
        expect(step.loss).toBeCloseTo(expected, 5);
        model.dispose();
      });
    });

    it("are not computed from weights that are not numbers", async () => {
      await openFixture("models/llama-tiny", withAdapter(0), async (float) => {
        for (const program of [float, quantised(float, "Q4_1", "Q8_0")]) {
          const [id] = trainedTensors(program, (name) => name.endsWith("layers.1.mlp.up_proj.lora_B")).keys();
          const parameter = program.parameters[id ?? ""] as Parameter;
          const values = new Float32Array(parameter.rows * parameter.cols).fill(0.01);
          values[7] = Number.NaN;
          const bytes = new Uint8Array(values.buffer);
          const parameters = { ...program.parameters, [id ?? ""]: { ...parameter, bytes } };
          const model = await createBackend().loadGated({ ...program, parameters });
          await expect(model.step(smallBatch, plainLoss("kl", 3), true)).rejects.toMatchObject({ code: "not-finite" });
          model.dispose();
        }
      });
    });

    it("reject a batch that does not fit", async () => {
      await openFixture("models/llama-tiny", withAdapter(0), async (program) => {
        const model = await createBackend().loadGated(program);
        const [sequence] = smallBatch.sequences;
        const step = (batch: GatedBatch) => model.step(batch, plainLoss("kl", 3), true);
        if (sequence === undefined) throw new Error("there is a sequence");
        for (const wrong of [
          { ...smallBatch, nMasks: 4 },
          { ...smallBatch, nMasks: 0 },
          { nMasks: 2, sequences: [{ ...sequence, anchors: Int32Array.of(11) }] },
          { nMasks: 2, sequences: [{ ...sequence, anchors: Int32Array.of(-1) }] },
          { nMasks: 2, sequences: [{ ...sequence, anchors: new Int32Array() }] },
          { nMasks: 2, sequences: [{ ...sequence, tokens: Int32Array.of(1, 2, 3, 320) }] },
        ]) {
          await expect(step(wrong)).rejects.toMatchObject({ code: "usage" });
        }
        model.dispose();
      });
    });
  });
}

/** Logits of the MASK rows of a sequence in an ordinary forward. */
async function resultsOfForward(loaded: LoadedModel, sequence: GatedSequence, mixture: LossSettings["mixture"]) {
  const ids = [...(draftVocabularyOf(loaded.program) ?? [])];
  const { forest, nPages, maskRows } = gatedForest(sequence, smallBatch.nMasks);
  const cache = loaded.createCache(nPages);
  const results = await loaded.forward(forest, cache);
  const found = maskRows.map(({ row, position }) => {
    const previous = sequence.tokens[position] as number;
    const maskLogits = results.draftLogits({ kind: "mask", row, previous }).slice();
    const order = [...maskLogits.keys()].sort((a, b) => (maskLogits[b] as number) - (maskLogits[a] as number) || a - b);
    const rankOf = (id: number) => (ids.includes(id) ? order.indexOf(ids.indexOf(id)) : ids.length);
    const clean = results.logits(position);
    const logP = logSoftmax(clean);
    const { loss, overlap } = lossOfMaskRow(
      maskLogits,
      Float64Array.from(ids, (id) => logP[id] as number),
      mixture,
    );
    const target = rankOf(clean.indexOf(Math.max(...clean)));
    return { loss, overlap, target, text: rankOf(sequence.tokens[position + 1] ?? -1) };
  });
  cache.dispose();
  return found;
}

/** Half in the gradient's direction, so that the slope stands out from the noise; of length 1. */
function directionAlong(gradient: Float32Array, seed: number): Float64Array {
  let state = seed + 1;
  const random = Float64Array.from(gradient, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32 - 0.5;
  });
  const unit = (x: Float64Array) => {
    const length = Math.hypot(...x) || 1;
    return x.map((v) => v / length);
  };
  const direction = unit(Float64Array.from(gradient));
  const other = unit(random);
  return unit(direction.map((g, i) => g + (other[i] as number)));
}

interface GoldenRun {
  readonly losses: readonly number[];
  readonly grad_norms: readonly number[];
}

function expectGolden(
  result: RepeatedSteps,
  trained: ReadonlyMap<string, TrainedTensor>,
  { losses, grad_norms }: GoldenRun,
  noise: Readonly<Record<string, number>>,
  tensors: ReadonlyMap<string, Float32Array>,
  prefix: string,
): void {
  expectWithin(result.losses, losses, NOISE_FACTOR * (noise.losses as number));
  expectWithin(result.gradientNorms, grad_norms, NOISE_FACTOR * (noise.grad_norms as number));
  for (const [id, { values }] of trained) {
    const name = trainedTensorName(id);
    const gradient = tensors.get(`${prefix}grad.${name}`) as Float32Array;
    expectWithin(result.gradients.get(id) as Float32Array, gradient, NOISE_FACTOR * (noise.grad as number), name);
    const final = tensors.get(`${prefix}final.${name}`) as Float32Array;
    const difference = values.reduce((sum, v, i) => sum + Math.abs(v - (final[i] as number)), 0) / values.length;
    expect(difference, `final ${name}`).toBeLessThan(MAX_MEAN_OF_FINAL);
  }
  const expected = [...tensors.keys()].filter((name) => name.startsWith(`${prefix}grad.`));
  expect(expected.sort()).toEqual([...trained.keys()].map((id) => `${prefix}grad.${trainedTensorName(id)}`).sort());
}

function expectWithin(found: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number, what = ""): void {
  expect(found.length, what).toBe(expected.length);
  const largest = Array.from(expected).reduce((m, e, i) => Math.max(m, Math.abs((found[i] as number) - e)), 0);
  expect(largest, what).toBeLessThanOrEqual(tolerance);
}
