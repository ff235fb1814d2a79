import type { LoadedModel } from "../../src/compute/loaded-model.ts";
import type { DraftModel } from "../../src/decoding/proposers/draft-model.ts";
import { EngineModel } from "../../src/engine/engine-model.ts";
import { pagesFor } from "../../src/engine/kv/page-pool.ts";
import { MAX_ROUND_ROWS } from "../../src/engine/limits.ts";
import type { ModelObserver, TextTokenizer } from "../../src/engine/types.ts";
import { FakeModel, type FakeModelOptions } from "./fake-model.ts";
import { fakeTokenizer } from "./fake-tokenizer.ts";

interface EngineOptions {
  readonly context?: number;
  readonly endTokens?: readonly number[];
  readonly nPages?: number;
  readonly maxSequences?: number;
  readonly maxQueue?: number;
  readonly observer?: ModelObserver;
}

export type FakeEngineOptions = FakeModelOptions & EngineOptions;

/** An engine over a fake model. */
export function fakeEngine(given: FakeEngineOptions = {}) {
  const { context, endTokens, nPages, maxSequences, maxQueue, observer, ...options } = given;
  const model = new FakeModel(options);
  return { engine: engineOver(model, given), model };
}

/** An engine over a test model. */
export function engineOver(
  model: LoadedModel,
  given: EngineOptions & { readonly draft?: DraftModel; readonly tokenizer?: TextTokenizer } = {},
): EngineModel {
  const { context = 200, endTokens = [], maxSequences = 16, maxQueue = 1024, draft, tokenizer = fakeTokenizer } = given;
  const { nPages = maxSequences * pagesFor(context + MAX_ROUND_ROWS) } = given;
  const { mask, sizes } = model.program;
  const backend = { name: "reference", instructionSet: "typescript", threads: 1, numerics: 1 } as const;
  const adapter =
    mask === undefined ? {} : { adapter: { path: "fake", depths: mask.nDepths, entryLayer: mask.entryLayer } };
  const info = {
    path: "fake",
    architecture: "fake",
    nLayers: sizes.nLayers,
    vocabSize: sizes.vocabSize,
    contextLength: context,
    weightBytes: 0,
    cacheBytes: 0,
    backend,
    loadMs: 0,
    ...adapter,
  };
  const limits = { nPages, maxSequences, maxQueue };
  return new EngineModel({
    ...{ model, draft, backend, info, limits, tokenizer, observer: given.observer },
    endTokens: new Set(endTokens),
  });
}
