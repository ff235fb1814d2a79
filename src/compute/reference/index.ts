import { type Backend, NUMERICS, type ProgramLoadOptions } from "../backend.ts";
import type { LoadedModel } from "../loaded-model.ts";
import type { Program } from "../program/program.ts";
import { SampledModel } from "../sampling/sampled-model.ts";
import { ReferenceFullModel } from "./full-model.ts";
import { ReferenceGatedModel } from "./gated-model.ts";
import { ReferenceExecutor } from "./reference-executor.ts";

/**
 * The reference backend: plain TypeScript, float32 between operations, float64 sums. Slow, and outside the same-bits
 * promise; what other backends are compared with.
 */
export function createReferenceBackend(): Backend {
  return {
    info: { name: "reference", instructionSet: "typescript", threads: 1, numerics: NUMERICS },
    load: async (program: Program, { shareWith }: ProgramLoadOptions = {}) =>
      new SampledModel(new ReferenceExecutor(program, shareWith && referenceOf(shareWith))),
    loadGated: async (program: Program) => new ReferenceGatedModel(program),
    loadFull: async (program: Program) => new ReferenceFullModel(program),
  };
}

function referenceOf(model: LoadedModel): ReferenceExecutor {
  const executor = model instanceof SampledModel ? model.executor : undefined;
  if (!(executor instanceof ReferenceExecutor)) throw new TypeError("the model to share with is another backend's");
  return executor;
}
