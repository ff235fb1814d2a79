import { chooseBackend } from "../../engine/load/open-program.ts";
import { openModel } from "../../model/open/open-model.ts";
import { modelFingerprint } from "../../training/model-fingerprint.ts";
import type { TrainResult } from "../../training/training-loop.ts";
import { newModel, type StartModel, withMaskToken } from "../../training/weights/start-model.ts";
import { trainWeights } from "../../training/weights/train-weights.ts";
import type { WeightEvaluation } from "../../training/weights/weight-evaluation.ts";
import type { WeightSettings } from "../../training/weights/weight-settings.ts";
import type { Cli } from "../cli.ts";
import { programVersions } from "../options/program-versions.ts";
import { INTERRUPTED } from "../terminal/interrupt.ts";
import { TrainingProgress } from "../terminal/training-progress.ts";
import { resolveWithProgress } from "./pull.ts";

interface WeightOptions {
  readonly data: string;
  readonly out: string;
  readonly objective: "full" | "plain";
  readonly config?: string;
  readonly steps?: number;
  readonly hours?: number;
  readonly seed: number;
  readonly masks?: number;
  readonly cleanWeight?: number;
  readonly weightDecay?: number;
  readonly learningRate?: number;
  readonly batchRows?: number;
  readonly store?: string;
  readonly checkpointEvery: number;
  readonly keepCheckpoints: number;
  readonly heldOutRows: number;
  readonly threads?: number;
  readonly backend?: "native" | "reference";
  readonly json?: boolean;
}

/** `idlm train` with the objectives that train all weights: of a model, or of a new one without a name. */
export async function trainAllWeights(
  cli: Cli,
  name: string | undefined,
  options: WeightOptions & { readonly defaultSteps: number },
  signal: AbortSignal,
): Promise<number> {
  const { data, out, heldOutRows, checkpointEvery, keepCheckpoints } = options;
  const onWarning = (message: string) => void cli.io.notices.write(`warning: ${message}\n`);
  const backend = chooseBackend({ ...options, onWarning });
  const start = await startOf(cli, name, options, signal);
  const progress = new TrainingProgress(cli, options.json === true);
  let result: TrainResult<WeightEvaluation>;
  try {
    result = await trainWeights({
      ...{ start, backend, data, out, heldOutRows, checkpointEvery, keepCheckpoints, signal, onWarning },
      settings: settingsOf(options),
      program: programVersions(),
      onEvent: (event) => progress.show(event),
    });
  } finally {
    progress.end();
    start.opened.close();
  }
  progress.finish(out, result);
  return result.status === "stopped" ? INTERRUPTED : 0;
}

async function startOf(
  { io }: Cli,
  name: string | undefined,
  { config = "", seed }: WeightOptions,
  signal: AbortSignal,
): Promise<StartModel> {
  if (name === undefined) return newModel(config, seed);
  const location = await resolveWithProgress(io, name, signal);
  const fingerprint = await modelFingerprint(location, signal);
  return withMaskToken(openModel(location.path, location.kind), name, fingerprint);
}

function settingsOf(options: WeightOptions & { readonly defaultSteps: number }) {
  const { objective, seed, masks, cleanWeight, weightDecay, learningRate, batchRows, hours, defaultSteps } = options;
  const { steps = defaultSteps } = options;
  const given = { masks, cleanWeight, weightDecay, learningRate, batchRows };
  const known = Object.entries(given).filter(([, value]) => value !== undefined);
  return {
    ...{ objective, seed, store: options.store === "f32" ? ("f32" as const) : ("bf16" as const) },
    ...(hours === undefined ? { steps } : { hours }),
    ...(Object.fromEntries(known) as Partial<WeightSettings>),
  };
}
