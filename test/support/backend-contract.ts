import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Backend } from "../../src/compute/backend.ts";
import { type Forest, PAGE_SIZE } from "../../src/compute/forest/forest.ts";
import type { ForwardResult, LoadedModel, SamplingRequests } from "../../src/compute/loaded-model.ts";
import type { Program } from "../../src/compute/program/program.ts";
import { neutralSettings } from "../../src/compute/sampling/settings.ts";
import { readAdapter } from "../../src/formats/adapter/adapter.ts";
import { readMaskEmbeddingFile } from "../../src/formats/adapter/mask-embedding.ts";
import { openSafetensors } from "../../src/formats/safetensors/safetensors.ts";
import { toFloat32 } from "../../src/formats/tensor/dequantise.ts";
import { type CompileOptions, compileProgram } from "../../src/model/compile.ts";
import { openModel } from "../../src/model/open/open-model.ts";

export const fixtures = join(dirname(fileURLToPath(import.meta.url)), "..", "fixtures");

/** Tolerance of the fixtures' README: a correct float32 engine is within 8 × noise. */
const NOISE_FACTOR = 8;

// biome-ignore lint/suspicious/noExplicitAny: goldens are data of our own making, read as they are
export function golden(...path: string[]): any {
  return JSON.parse(readFileSync(join(fixtures, ...path), "utf8"));
}

/** Tensors of a golden file as float32, by name. */
export function goldenTensors(...path: string[]): Map<string, Float32Array> {
  const file = openSafetensors(join(fixtures, ...path));
  const result = new Map<string, Float32Array>();
  for (const [name, tensor] of file.tensors) if (tensor.type === "F32") result.set(name, toFloat32(tensor));
  file.close();
  return result;
}

export async function loadFixture(
  backend: Backend,
  path: string,
  kind: "gguf" | "huggingface",
  options: CompileOptions = {},
  change: (program: Program) => Program = (program) => program,
): Promise<LoadedModel> {
  const opened = openModel(join(fixtures, path), kind);
  try {
    return await backend.load(change(compileProgram(opened, options)));
  } finally {
    opened.close();
  }
}

export interface ForestArrays {
  readonly tokens: number[];
  readonly positions?: number[];
  readonly parents?: number[];
  readonly gate?: number[];
}

/** A forest with an empty cache: every root starts a sequence. */
export function forestOf(rows: ForestArrays): Forest {
  const n = rows.tokens.length;
  const parents = rows.parents ?? rows.tokens.map((_, i) => i - 1);
  const sequence: number[] = [];
  let nSequences = 0;
  for (const parent of parents) sequence.push(parent < 0 ? nSequences++ : (sequence[parent] as number));
  const pagesEach = Math.ceil(n / PAGE_SIZE);
  return {
    sequences: Array.from({ length: nSequences }, (_, s) => ({
      length: 0,
      pages: Array.from({ length: pagesEach }, (_, i) => s * pagesEach + i),
    })),
    tokens: Int32Array.from(rows.tokens),
    positions: Int32Array.from(rows.positions ?? rows.tokens.map((_, i) => i)),
    parents: Int32Array.from(parents),
    gate: Uint8Array.from(rows.gate ?? rows.tokens.map(() => 0)),
    sequence: Int32Array.from(sequence),
    needsOutput: new Uint8Array(n).fill(1),
  };
}

/** A chain of tokens after the cached ones. */
export function chain(tokens: readonly number[], length: number, pages: readonly number[]): Forest {
  return {
    ...forestOf({ tokens: [...tokens], positions: tokens.map((_, i) => length + i) }),
    sequences: [{ length, pages }],
  };
}

export async function runForest(
  model: LoadedModel,
  forest: Forest,
  sampling?: SamplingRequests,
): Promise<ForwardResult> {
  const nPages = Math.max(...forest.sequences.flatMap(({ pages }) => [...pages])) + 1;
  return model.forward(forest, model.createCache(nPages), sampling);
}

/** Compares all rows' values with a golden tensor [row, width]; returns the largest difference. */
export function largestDifference(rows: readonly Float32Array[], expected: Float32Array | undefined): number {
  if (expected === undefined) throw new Error("the golden tensor is missing");
  expect(rows.reduce((n, row) => n + row.length, 0)).toBe(expected.length);
  let largest = 0;
  let at = 0;
  for (const row of rows) {
    for (const value of row) {
      const difference = Math.abs(value - (expected[at++] as number));
      if (!(difference <= largest)) largest = difference;
    }
  }
  return largest;
}

const models = ["llama-tiny", "llama-rope3", "qwen2-tiny", "qwen3-tiny", "qwen3-sharded"];

/** The contract of all backends. Each backend's test calls this. */
export function describeBackend(name: string, create: () => Backend): void {
  describe(`${name}: the contract of backends`, () => {
    let backend: Backend;
    beforeAll(() => {
      backend = create();
    });

    describe.each([
      ...models.map((model) => [model, model, "huggingface"] as const),
      ...["llama-tiny", "llama-rope3", "qwen3-tiny"].map(
        (model) => [`${model} as GGUF`, `${model}/model.f32.gguf`, "gguf"] as const,
      ),
    ])("%s", (_, path, kind) => {
      const folder = path.split("/")[0] as string;
      const expected = golden("models", folder, "golden.json");
      const tensors = goldenTensors("models", folder, "golden.safetensors");
      let model: LoadedModel;
      beforeAll(async () => {
        model = await loadFixture(backend, `models/${path}`, kind);
      });
      afterAll(() => model.dispose());

      it("logits and hidden states agree with transformers", async () => {
        const ids: number[] = expected.input_ids;
        const result = await runForest(model, forestOf({ tokens: ids }));
        const logits = ids.map((_, row) => result.logits(row));
        expect(largestDifference(logits, tensors.get("logits"))).toBeLessThanOrEqual(
          NOISE_FACTOR * expected.noise.logits,
        );
        const hidden = ids.map((_, row) => result.hidden(row));
        expect(largestDifference(hidden, tensors.get("hidden.norm"))).toBeLessThanOrEqual(
          NOISE_FACTOR * expected.noise["hidden.norm"],
        );
      });

      it("generates the greedy output, with the prompt in chunks and scattered pages", async () => {
        const ids: number[] = [...expected.input_ids];
        const cache = model.createCache(16);
        const pages = [7, 2, 11, 5, 0];
        const sampler = model.createSampler(neutralSettings);
        let length = 0;
        for (const size of [1, 17, 3, 18]) {
          await model.forward(chain(ids.slice(length, length + size), length, pages), cache);
          length += size;
        }
        const text: number[] = [];
        for (let next = ids[length] as number; text.length < 24; length++) {
          const forest = chain([next], length, pages);
          const draw = { row: 0, sampler, position: length + 1, unverified: [] };
          const { drawn } = await model.forward(forest, cache, { draws: [draw] });
          next = drawn[0]?.token ?? -1;
          text.push(next);
        }
        expect(text).toEqual(expected.greedy);
      });
    });

    it.each(["llama-tiny-lora", "qwen3-tiny-lora", "qwen3-tiny-patterns", "qwen3-tiny-rslora"])(
      "adapter %s on every row agrees with PEFT",
      async (adapter) => {
        const expected = golden("peft", adapter, "golden.json");
        const options = { adapter: readAdapter(join(fixtures, "peft", adapter)) };
        const model = await loadFixture(backend, `models/${expected.model}`, "huggingface", options);
        const ids: number[] = expected.input_ids;
        const result = await runForest(model, forestOf({ tokens: ids, gate: ids.map(() => 1) }));
        const difference = largestDifference(
          ids.map((_, row) => result.logits(row)),
          goldenTensors("peft", adapter, "golden.safetensors").get("logits"),
        );
        expect(difference).toBeLessThanOrEqual(NOISE_FACTOR * expected.noise.logits);
      },
    );

    describe.each(["llama-tiny", "qwen3-tiny"])("gated forests of %s", (folder) => {
      const { model: _model, adapter, seed: _seed, ...forests } = golden("gated", folder, "forests.json");
      const tensors = goldenTensors("gated", folder, "forests.safetensors");
      let model: LoadedModel;
      beforeAll(async () => {
        model = await loadFixture(backend, `models/${folder}`, "huggingface", {
          adapter: readAdapter(join(fixtures, "peft", adapter)),
          maskEmbedding: readMaskEmbeddingFile(join(fixtures, "gated", folder, "mask_embedding.safetensors")),
        });
      });
      afterAll(() => model.dispose());

      it.each(Object.keys(forests))("%s", async (name) => {
        const forest = forests[name];
        const result = await runForest(model, forestOf(forest));
        const logits = forest.tokens.map((_: number, row: number) => result.logits(row));
        expect(largestDifference(logits, tensors.get(`${name}.logits`))).toBeLessThanOrEqual(
          NOISE_FACTOR * forest.noise,
        );
      });
    });

    it.each(["llama-tiny-entry0", "llama-tiny-entry1"])("%s: depths, draft vocabulary, head, entry", async (folder) => {
      const { forest, noise } = golden("idlm", folder, "golden.json");
      const tensors = goldenTensors("idlm", folder, "golden.safetensors");
      const options = { adapter: readAdapter(join(fixtures, "idlm", folder)) };
      const model = await loadFixture(backend, "models/llama-tiny", "huggingface", options);
      const result = await runForest(model, forestOf(forest));
      const rows: number[] = forest.tokens.map((_: number, row: number) => row);
      const isMask = (row: number) => forest.tokens[row] === -1;
      const masks = rows.filter(isMask);
      const found = {
        hidden: rows.map((row) => result.hidden(row)),
        logits: rows.filter((row) => !isMask(row)).map((row) => result.logits(row)),
        draft_logits: masks.map((row) => result.logits(row)),
        draft_logits_after_head: masks.map((row) =>
          result.draftLogits({ kind: "mask", row, previous: forest.previous[row] }),
        ),
      };
      for (const [name, values] of Object.entries(found)) {
        const difference = largestDifference(values, tensors.get(name));
        expect(difference, name).toBeLessThanOrEqual(NOISE_FACTOR * noise[name]);
      }
      // Proposals: among the 64 largest logits those that are largest after the head, as ids.
      const sampler = model.createSampler(neutralSettings);
      const draft = options.adapter.idlm?.draftVocabulary ?? new Int32Array();
      for (const [i, row] of masks.entries()) {
        const after = found.draft_logits_after_head[i] as Float32Array;
        const by = (values: Float32Array) => (a: number, b: number) =>
          (values[b] as number) - (values[a] as number) || a - b;
        const shortlist = [...after.keys()].sort(by(found.draft_logits[i] as Float32Array)).slice(0, 64);
        const best = shortlist.sort(by(after)).slice(0, 4);
        const [proposed] = await result.propose([
          {
            source: { kind: "mask", row, previous: forest.previous[row] },
            ...{ sampler, position: forest.positions[row] + 1, unverified: [], count: 4, proposeFor: "exact" },
          },
        ]);
        expect([...(proposed?.tokens ?? [])]).toEqual(best.map((index) => draft[index]));
      }
    });

    it("moveKv of a tree's branch equals the chain", async () => {
      const model = await loadFixture(backend, "models/qwen3-tiny", "huggingface");
      const tokens = [5, 9, 30, 31, 7];
      // 30 and 31 are alternatives after 9; 7 follows 31.
      const pages = [1, 0];
      const cache = model.createCache(2);
      const tree = forestOf({ tokens, positions: [0, 1, 2, 2, 3], parents: [-1, 0, 1, 1, 3] });
      await model.forward({ ...tree, sequences: [{ length: 0, pages }] }, cache);
      model.moveKv(cache, pages, [3, 4], [2, 3]);
      const next = (await model.forward(chain([11], 4, pages), cache)).logits(0);
      const plain = await runForest(model, forestOf({ tokens: [5, 9, 31, 7, 11] }));
      expect(next).toEqual(plain.logits(4));
    });

    it.each([
      ["a token beyond the vocabulary", { tokens: [320] }, /token 320/],
      ["a parent after its child", { tokens: [1, 2], parents: [1, -1] }, /parent/],
      ["a negative parent", { tokens: [1, 2], parents: [-1, -2] }, /parent/],
      ["a MASK row without an embedding", { tokens: [1, -1] }, /MASK/],
      ["a negative position", { tokens: [1], positions: [-4] }, /position/],
      ["a gate of 2", { tokens: [1], gate: [2] }, /gate/],
      ["no row", { tokens: [] }, /rows/],
    ])("refuses %s", async (_, rows, message) => {
      const model = await loadFixture(backend, "models/llama-tiny", "huggingface");
      const forest = { ...forestOf({ tokens: [1, 2] }), ...safeForest(rows) };
      await expect(model.forward(forest, model.createCache(1))).rejects.toThrow(message);
    });

    it("rejects pages and slots that do not exist", async () => {
      const model = await loadFixture(backend, "models/llama-tiny", "huggingface");
      const cache = model.createCache(1);
      await expect(model.forward(chain([1], 0, [1]), cache)).rejects.toThrow(/page 1/);
      await expect(model.forward(chain([1], 16, [0]), cache)).rejects.toThrow(/slot 16/);
    });

    it("allocates a cache while a forward runs", async () => {
      const model = await loadFixture(backend, "models/llama-tiny", "huggingface");
      const running = model.forward(chain([1], 0, [0]), model.createCache(1));
      const cache = model.createCache(1);
      const first = (await running).logits(0);
      expect((await model.forward(chain([1], 0, [0]), cache)).logits(0)).toEqual(first);
    });

    it("reports the position of logits that are not finite", async () => {
      const model = await loadFixture(backend, "hostile/gguf-nan-weight.gguf", "gguf");
      const sampler = model.createSampler(neutralSettings);
      const draws = [{ row: 2, sampler, position: 3, unverified: [] }];
      const forest = forestOf({ tokens: [1, 2, 3] });
      expect((await runForest(model, forest, { draws })).drawn).toMatchObject([
        { token: -1, failure: { code: "not-finite" } },
      ]);
    });
  });
}

function safeForest(rows: ForestArrays): Partial<Forest> {
  const n = rows.tokens.length;
  return {
    tokens: Int32Array.from(rows.tokens),
    positions: Int32Array.from(rows.positions ?? rows.tokens.map((_, i) => i)),
    parents: Int32Array.from(rows.parents ?? rows.tokens.map((_, i) => i - 1)),
    gate: Uint8Array.from(rows.gate ?? rows.tokens.map(() => 0)),
    sequence: new Int32Array(n),
    needsOutput: new Uint8Array(n).fill(1),
    sequences: [{ length: 0, pages: [0] }],
  };
}
