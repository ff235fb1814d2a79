import type { GatedModel } from "../compute/gradients/gated-step.ts";
import { writeAdapter } from "../formats/adapter/write-adapter.ts";
import { makeAdapter } from "./adapter/adapter-shape.ts";
import { trainedValues } from "./adapter/start.ts";
import { type Evaluation, evaluate } from "./evaluation/evaluation.ts";
import { forwardMsOf, type MeasuredForwards, measureForwards } from "./evaluation/measure-forwards.ts";
import { type PreparedRun, prepareRun, type RunRequest } from "./prepare.ts";
import type { RunRecord } from "./run-record.ts";
import { Trainer } from "./trainer.ts";
import {
  type LoopEvent,
  type LoopRequest,
  type TrainResult as LoopResult,
  type LoopRun,
  logOf,
  requireRunSpace,
  TrainingLoop,
  withRunFolder,
} from "./training-loop.ts";

export interface TrainRequest extends RunRequest, LoopRequest {
  /** Versions of the software, recorded with the adapter. */
  readonly program: Readonly<Record<string, string>>;
  readonly onEvent: (event: TrainEvent) => void;
}

export type TrainEvent =
  | {
      readonly kind: "start";
      readonly record: RunRecord;
      /** Steps done by earlier sessions. */
      readonly step: number;
      readonly rows: number;
      readonly heldOutRows: number;
      readonly coverage: number;
      readonly parameters: number;
    }
  | LoopEvent<Evaluation>;

export type TrainResult = LoopResult<Evaluation>;

/**
 * Trains an adapter, or resumes a run that was stopped or killed. A run of a number of steps yields the same bytes of
 * all safetensors files with any number of threads and after any interruptions: nothing in it depends on time. Errors:
 * those of `prepareRun`; "busy"; "file-unwritable"; "not-finite"; "diverged".
 */
export function train(request: TrainRequest): Promise<TrainResult> {
  return withRunFolder(request, async () => {
    const run = prepareRun(request);
    if (run.isFinished) {
      // A kill after the adapter was written left older checkpoints behind.
      run.checkpoints.keepOnly(run.checkpoints.steps.slice(-1));
      return { status: "already finished", step: run.checkpoint?.step ?? 0 };
    }
    const valueBytes = [...trainedValues(run.program).values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
    await requireRunSpace(request, valueBytes, run);
    const forwards = await measuredForwards(run, request);
    const model = await request.backend.loadGated(run.program);
    try {
      return await new TrainingLoop(request, gatedRun(request, run, model, forwards)).run();
    } finally {
      model.dispose();
    }
  });
}

/** Times of forwards are measured once for a run, so that its predictions can be compared. */
async function measuredForwards(run: PreparedRun, { out, backend, signal }: TrainRequest): Promise<MeasuredForwards> {
  const log = logOf(out);
  log.readUpTo(run.checkpoint?.step ?? 0);
  const [first] = log.entries;
  if (first?.forwards !== undefined) return first.forwards;
  const model = await backend.load(run.program);
  try {
    return await measureForwards(model, run.shape.masks, signal);
  } finally {
    model.dispose();
  }
}

function gatedRun(
  { out, program, onEvent }: TrainRequest,
  run: PreparedRun,
  model: GatedModel,
  forwards: MeasuredForwards,
): LoopRun<Evaluation> {
  const { record, checkpoints, checkpoint, rows, heldOut, coverage, shape, base } = run;
  const trainer = new Trainer(model, record.settings, rows, trainedValues(run.program));
  return {
    ...{ record, checkpoints, checkpoint, trainer, forwards, onEvent },
    evaluate: (signal) => evaluate(model, heldOut, shape.masks, forwardMsOf(forwards), signal),
    score: (evaluation) => evaluation?.predicted?.tokensPerSecond ?? 0,
    onStart: () => {
      const parameters = [...trainer.values.values()].reduce((sum, { length }) => sum + length, 0);
      const counts = { rows: rows.length, heldOutRows: heldOut.length, coverage, parameters };
      onEvent({ kind: "start", record, step: trainer.step, ...counts });
    },
    finish: (values, { step, positions, elapsedMs, evaluation }) => {
      const adapter = makeAdapter(shape, base, (id) => values.get(id) ?? new Float32Array());
      writeAdapter(out, adapter, record.settings.store, {
        run: record,
        steps: step,
        positions,
        hours: elapsedMs / 3_600_000,
        coverage,
        ...(evaluation && { evaluation }),
        ...program,
      });
    },
  };
}
