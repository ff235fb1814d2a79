import { EngineModel } from "../../src/engine/engine-model.ts";
import { MAX_ROUND_ROWS } from "../../src/engine/limits.ts";
import { pagesFor } from "../../src/engine/page-pool.ts";
import { FakeModel, type FakeModelOptions } from "./fake-model.ts";
import { fakeTokenizer } from "./fake-tokenizer.ts";

export interface FakeEngineOptions extends FakeModelOptions {
  readonly context?: number;
  readonly endTokens?: readonly number[];
  readonly nPages?: number;
  readonly maxSequences?: number;
  readonly maxQueue?: number;
}

/** An engine over a fake model. */
export function fakeEngine(given: FakeEngineOptions = {}) {
  const { context = 200, endTokens = [], maxSequences = 16, maxQueue = 1024, ...rest } = given;
  const { nPages = maxSequences * pagesFor(context + MAX_ROUND_ROWS), ...options } = rest;
  const model = new FakeModel(options);
  const { mask, vocabSize, nLayers } = model.program;
  const backend = { name: "reference", instructionSet: "typescript", threads: 1, numerics: 1 } as const;
  const adapter =
    mask === undefined ? {} : { adapter: { path: "fake", depths: mask.nDepths, entryLayer: mask.entryLayer } };
  const info = {
    path: "fake",
    architecture: "fake",
    nLayers,
    vocabSize,
    contextLength: context,
    weightBytes: 0,
    backend,
    loadMs: 0,
    ...adapter,
  };
  const limits = { nPages, maxSequences, maxQueue };
  const engine = new EngineModel({
    ...{ model, backend, info, limits },
    tokenizer: fakeTokenizer,
    endTokens: new Set(endTokens),
  });
  return { engine, model };
}
