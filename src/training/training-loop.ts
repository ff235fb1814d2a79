import { join } from "node:path";
import { makeFolder } from "../formats/files/make-folder.ts";
import { requireFreeSpace } from "../formats/files/free-space.ts";
import { malformed } from "../formats/files/malformed.ts";
import type { TensorToWrite } from "../formats/safetensors/safetensors-writer.ts";
import { acquireLock } from "../hub/store/lock.ts";
import { readCheckpointFile } from "./checkpoints/checkpoint-file.ts";
import type { CheckpointFolder, FoundCheckpoint } from "./checkpoints/checkpoint-folder.ts";
import type { MeasuredForwards } from "./evaluation/measure-forwards.ts";
import { type LogEntry, RunLog } from "./run-log.ts";
import type { RunRecord, RunState } from "./run-record.ts";
import type { RunLength } from "./settings.ts";

/** Parameters that are trained, by id; updated in place. */
export type TrainedValues = ReadonlyMap<string, Float32Array<ArrayBuffer>>;

/** Which part of the run a step is, from 0 to 1: before it, and after it. */
export interface StepShare {
  readonly before: number;
  readonly after: number;
}

/** Report of a step. */
export interface StepReport {
  /** From 1. */
  readonly step: number;
  readonly loss: number;
  /** Rows with a target. */
  readonly rows: number;
  /** Before clipping. */
  readonly gradientNorm: number;
  readonly learningRate: number;
  /** By depth: share of the step's MASK runs whose MASKs up to that depth all rank the sequence's token first. */
  readonly survival: readonly number[];
}

/** How a run is stored and stopped, whatever it trains. */
export interface LoopRequest {
  /** Folder of the result, with the checkpoints in it. */
  readonly out: string;
  /** Steps between checkpoints. */
  readonly checkpointEvery: number;
  /** Number of checkpoints that are kept. */
  readonly keepCheckpoints: number;
  readonly signal: AbortSignal;
}

export type LoopEvent<E> =
  | ({ readonly kind: "step"; readonly elapsedMs: number; readonly share: number } & StepReport)
  | { readonly kind: "evaluation"; readonly step: number; readonly evaluation: E }
  | { readonly kind: "checkpoint"; readonly step: number; readonly path: string };

export interface TrainResult<E> {
  /** finished: by this call; stopped: by the signal, with a checkpoint. */
  readonly status: "finished" | "already finished" | "stopped";
  readonly step: number;
  readonly evaluation?: E;
}

/** The state of a run, and its steps. */
export interface StepTrainer {
  /** Steps that are done. */
  readonly step: number;
  readonly values: TrainedValues;
  /** One step. @throws IdlmError "not-finite", "diverged"; the state is then that of the step before. */
  next(share: StepShare): Promise<StepReport>;
  /** Everything that the next steps depend on; views of the state, to be written before the next step. */
  tensors(): Map<string, TensorToWrite>;
  /** Goes on from `tensors()` of a trainer with the same settings. Calls `wrong` with the name of a tensor that does not fit. */
  restore(step: number, tensors: ReadonlyMap<string, TensorToWrite>, wrong: (name: string) => never): Promise<void>;
}

/** What is known of a finished run. */
export interface FinishedRun<E> {
  readonly step: number;
  readonly positions: number;
  readonly elapsedMs: number;
  readonly evaluation: E | undefined;
}

/** A run that the loop carries through; E: what an evaluation of held-out rows finds. */
export interface LoopRun<E> {
  readonly record: RunRecord<RunLength>;
  readonly checkpoints: CheckpointFolder;
  readonly checkpoint: StoredState | undefined;
  readonly trainer: StepTrainer;
  /** Times of forwards that predictions rest on. */
  readonly forwards?: MeasuredForwards;
  /** Undefined without held-out rows. */
  evaluate(signal: AbortSignal): Promise<E | undefined>;
  /** By which a run of hours chooses its result; the largest wins. */
  score(evaluation: E | undefined): number;
  /** Called before the first step of a session. */
  onStart(): void;
  onEvent(event: LoopEvent<E>): void;
  /** Writes the result. */
  finish(values: TrainedValues, run: FinishedRun<E>): void;
}

/** A checkpoint whose state was parsed. */
export type StoredState = Omit<FoundCheckpoint, "state"> & { readonly state: RunState };

/** Creates the folder of a run's checkpoints, and keeps other processes out while `use` runs. Errors: "busy", "file-unwritable". */
export async function withRunFolder<T>({ out, signal }: LoopRequest, use: (folder: string) => Promise<T>): Promise<T> {
  const folder = join(out, "checkpoints");
  makeFolder(folder);
  const lock = await acquireLock(folder, "run", { subject: out, signal });
  try {
    return await use(folder);
  } finally {
    await lock.release();
  }
}

/**
 * Requires room for the checkpoints that are still missing, each with values and two moments, and for the result.
 * @throws IdlmError "file-unwritable".
 */
export async function requireRunSpace(
  { out, keepCheckpoints }: LoopRequest,
  valueBytes: number,
  { checkpoints, record }: Pick<LoopRun<unknown>, "checkpoints" | "record">,
): Promise<void> {
  // The oldest one is removed after the newest is written; a run of hours keeps its best one, too.
  const most = keepCheckpoints + (record.settings.hours === undefined ? 1 : 2);
  const missing = Math.max(1, most - checkpoints.steps.length);
  await requireFreeSpace(join(out, "checkpoints"), valueBytes * (3 * missing + 1));
}

/** The log of the run in a folder. */
export function logOf(out: string): RunLog<unknown> {
  return new RunLog(join(out, "checkpoints", "log.jsonl"));
}

/** The steps of a run between its start, or a checkpoint, and its end. */
export class TrainingLoop<E> {
  readonly #request: LoopRequest;
  readonly #run: LoopRun<E>;
  readonly #log: RunLog<E>;
  readonly #earlierMs: number;
  readonly #startMs = performance.now();
  #positions: number;
  #losses: number[] = [];

  constructor(request: LoopRequest, run: LoopRun<E>) {
    this.#request = request;
    this.#run = run;
    this.#log = logOf(request.out) as RunLog<E>;
    if (run.checkpoint !== undefined) this.#log.readUpTo(run.checkpoint.step);
    this.#positions = run.checkpoint?.state.positions ?? 0;
    this.#earlierMs = this.#log.entries.at(-1)?.elapsedMs ?? 0;
  }

  async run(): Promise<TrainResult<E>> {
    const { signal, checkpointEvery } = this.#request;
    const { checkpoint, trainer, onEvent } = this.#run;
    if (checkpoint !== undefined) {
      await trainer.restore(checkpoint.step, checkpoint.tensors, (name) => {
        throw malformed(checkpoint.path, `tensor ${name}`, "the type and size that the settings give", "another");
      });
    }
    this.#run.onStart();
    let stepMs = 0;
    for (let share = this.#share(stepMs); share.before < 1; share = this.#share(stepMs)) {
      if (signal.aborted) {
        this.#checkpoint();
        return { status: "stopped", step: trainer.step };
      }
      const beganMs = performance.now();
      const report = await trainer.next(share);
      stepMs = performance.now() - beganMs;
      this.#positions += report.rows;
      this.#losses.push(report.loss);
      onEvent({ kind: "step", elapsedMs: this.#elapsedMs, share: share.after, ...report });
      const isLast = this.#share(stepMs).before >= 1;
      if (isLast || trainer.step % checkpointEvery === 0) this.#checkpoint(await this.#evaluate());
    }
    return this.#finish();
  }

  get #elapsedMs(): number {
    return this.#earlierMs + performance.now() - this.#startMs;
  }

  /** The next step's share of the run: by steps, or by time if hours are given. */
  #share(stepMs: number): StepShare {
    const { steps, hours } = this.#run.record.settings;
    const { step } = this.#run.trainer;
    if (steps !== undefined) return { before: step / steps, after: (step + 1) / steps };
    const allMs = (hours ?? 0) * 3_600_000;
    const elapsedMs = this.#elapsedMs;
    return { before: elapsedMs / allMs, after: Math.min(1, (elapsedMs + stepMs) / allMs) };
  }

  /** Undefined without held-out rows, and while the run is being stopped. */
  async #evaluate(): Promise<E | undefined> {
    const { signal } = this.#request;
    const { step } = this.#run.trainer;
    try {
      const evaluation = await this.#run.evaluate(signal);
      if (evaluation !== undefined) this.#run.onEvent({ kind: "evaluation", step, evaluation });
      return evaluation;
    } catch (error) {
      if (signal.aborted) return undefined;
      throw error;
    }
  }

  #checkpoint(evaluation?: E): void {
    const { checkpoints, record: run, trainer, forwards, onEvent } = this.#run;
    const { step } = trainer;
    const loss = this.#losses.reduce((a, b) => a + b, 0) / this.#losses.length;
    // The log first: a checkpoint always has its entry.
    const entry = { step, positions: this.#positions, elapsedMs: this.#elapsedMs, loss, ...(forwards && { forwards }) };
    if (this.#losses.length > 0) this.#log.add({ ...entry, ...(evaluation !== undefined && { evaluation }) });
    this.#losses = [];
    const state = JSON.stringify({ run, step, positions: this.#positions });
    if (!checkpoints.steps.includes(step)) checkpoints.write(step, { tensors: trainer.tensors(), state });
    checkpoints.keepOnly([...checkpoints.steps.slice(-this.#request.keepCheckpoints), this.#bestStep()]);
    onEvent({ kind: "checkpoint", step, path: checkpoints.pathOf(step) });
  }

  /** The step whose weights are the result: of a run of steps the last one, else that with the best evaluation. */
  #bestStep(): number {
    const { record, trainer, checkpoints } = this.#run;
    if (record.settings.steps !== undefined) return trainer.step;
    const score = ({ evaluation }: LogEntry<E>) => this.#run.score(evaluation);
    const [best] = this.#log.entries.toReversed().toSorted((a, b) => score(b) - score(a));
    return best !== undefined && checkpoints.steps.includes(best.step) ? best.step : trainer.step;
  }

  #finish(): TrainResult<E> {
    const { trainer, checkpoints } = this.#run;
    const step = this.#bestStep();
    const values = step === trainer.step ? trainer.values : valuesOf(checkpoints.pathOf(step));
    const entry = this.#log.entries.find((found) => found.step === step);
    const positions = entry?.positions ?? this.#positions;
    this.#run.finish(values, { step, positions, elapsedMs: this.#elapsedMs, evaluation: entry?.evaluation });
    checkpoints.keepOnly([trainer.step]);
    return { status: "finished", step, ...(entry?.evaluation !== undefined && { evaluation: entry.evaluation }) };
  }
}

/** The trained parameters of a checkpoint, by id. */
function valuesOf(path: string): TrainedValues {
  const values = new Map<string, Float32Array<ArrayBuffer>>();
  for (const [name, { bytes }] of readCheckpointFile(path).tensors) {
    const [, id] = /^value\.(.+)$/.exec(name) ?? [];
    if (id !== undefined) values.set(id, new Float32Array(bytes.slice().buffer));
  }
  return values;
}
