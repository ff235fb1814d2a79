import { type Adapter, readAdapter } from "../formats/adapter/adapter.ts";
import type { Evaluation } from "../training/evaluation/evaluation.ts";
import { train, type TrainEvent } from "../training/train.ts";
import type { RunRequest } from "../training/prepare.ts";
import { trainingDefaults } from "../training/settings.ts";
import type { StageContext } from "./context.ts";
import { textFolder } from "./write-stage.ts";

export interface TrainRun {
  /** Folder of the adapter. */
  readonly out: string;
  readonly settings: RunRequest["settings"];
  readonly heldOutRows: number;
  readonly checkpointEvery: number;
  readonly onEvent: (event: TrainEvent) => void;
}

/** What the finished adapter says of its training. */
export interface TrainedAdapter {
  readonly adapter: Adapter;
  readonly steps: number;
  readonly coverage: number;
  readonly evaluation?: Evaluation;
}

/** Trains an adapter on the text of a make. Throws the signal's reason after a stop, with a checkpoint. */
export async function trainRun(context: StageContext, run: TrainRun): Promise<TrainedAdapter> {
  const { base, backend, out, settings, program, signal, onNotice } = context;
  const { batchRows } = trainingDefaults;
  const result = await train({
    ...{ base, backend, data: textFolder(out), out: run.out, program, signal },
    settings: { seed: settings.seed, batchRows, ...run.settings },
    ...{ heldOutRows: run.heldOutRows, checkpointEvery: run.checkpointEvery, keepCheckpoints: 2 },
    onWarning: onNotice,
    onEvent: run.onEvent,
  });
  if (result.status === "stopped") signal.throwIfAborted();
  const adapter = readAdapter(run.out);
  // Written by `train`, with these keys.
  const training = (adapter.idlm?.training ?? {}) as unknown as Omit<TrainedAdapter, "adapter">;
  const { steps, coverage, evaluation } = training;
  return { adapter, steps, coverage, ...(evaluation && { evaluation }) };
}
