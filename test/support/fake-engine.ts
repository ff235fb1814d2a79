import { EngineModel } from "../../src/engine/engine-model.ts";
import { FakeModel, type FakeModelOptions } from "./fake-model.ts";
import { fakeTokenizer } from "./fake-tokenizer.ts";

export interface FakeEngineOptions extends FakeModelOptions {
  readonly context?: number;
  readonly endTokens?: readonly number[];
}

/** An engine over a fake model. */
export function fakeEngine({ context = 200, endTokens = [], ...options }: FakeEngineOptions = {}) {
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
  const engine = new EngineModel({ model, backend, info, tokenizer: fakeTokenizer, endTokens: new Set(endTokens) });
  return { engine, model };
}
