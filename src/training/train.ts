import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { GatedModel } from "../compute/gradients/gated-step.ts";
import { writeError } from "../formats/files/file-error.ts";
import { requireFreeSpace } from "../formats/files/free-space.ts";
import { malformed } from "../formats/files/malformed.ts";
import { writeAdapter } from "../formats/adapter/write-adapter.ts";
import { acquireLock } from "../hub/store/lock.ts";
import { makeAdapter } from "./adapter/adapter-shape.ts";
import { trainedValues } from "./adapter/start.ts";
import { readCheckpointFile } from "./checkpoints/checkpoint-file.ts";
import { evaluate, type Evaluation } from "./evaluation/evaluation.ts";
import { forwardMsOf, type MeasuredForwards, measureForwards } from "./evaluation/measure-forwards.ts";
import { type PreparedRun, prepareRun, type RunRequest } from "./prepare.ts";
import { type LogEntry, RunLog } from "./run-log.ts";
import type { RunRecord } from "./run-record.ts";
import { type StepReport, type StepShare, type TrainedValues, Trainer } from "./trainer.ts";

export interface TrainRequest extends RunRequest {
  /** Steps between checkpoints. */
  readonly checkpointEvery: number;
  /** Number of checkpoints that are kept. */
  readonly keepCheckpoints: number;
  /** Versions of the software, recorded with the adapter. */
  readonly program: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
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
  | ({ readonly kind: "step"; readonly elapsedMs: number; readonly share: number } & StepReport)
  | { readonly kind: "evaluation"; readonly step: number; readonly evaluation: Evaluation }
  | { readonly kind: "checkpoint"; readonly step: number; readonly path: string };

export interface TrainResult {
  /** finished: by this call; stopped: by the signal, with a checkpoint. */
  readonly status: "finished" | "already finished" | "stopped";
  readonly step: number;
  readonly evaluation?: Evaluation;
}

/**
 * Trains an adapter, or resumes a run that was stopped or killed. A run of a number of steps yields the same bytes of
 * all safetensors files with any number of threads and after any interruptions: nothing in it depends on time. Errors:
 * those of `prepareRun`; "busy"; "file-unwritable"; "not-finite"; "diverged".
 */
export async function train(request: TrainRequest): Promise<TrainResult> {
  const folder = join(request.out, "checkpoints");
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw writeError(folder, error);
  }
  const lock = await acquireLock(folder, "run", { subject: request.out, signal: request.signal });
  try {
    const run = prepareRun(request);
    if (run.isFinished) {
      // A kill after the adapter was written left older checkpoints behind.
      run.checkpoints.keepOnly(run.checkpoints.steps.slice(-1));
      return { status: "already finished", step: run.checkpoint?.step ?? 0 };
    }
    await requireFreeSpace(folder, bytesToWrite(run, request));
    const measured = await measuredForwards(run, request);
    const model = await request.backend.loadGated(run.program);
    try {
      return await new Session(request, run, model, measured).run();
    } finally {
      model.dispose();
    }
  } finally {
    await lock.release();
  }
}

/** Of the checkpoints that are still missing, each with values and two moments, and of the adapter. */
function bytesToWrite({ program, checkpoints, record }: PreparedRun, { keepCheckpoints }: TrainRequest): number {
  const valueBytes = [...trainedValues(program).values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  // The oldest one is removed after the newest is written; a run of hours keeps its best one, too.
  const most = keepCheckpoints + (record.settings.hours === undefined ? 1 : 2);
  return valueBytes * (3 * Math.max(1, most - checkpoints.steps.length) + 1);
}

/** Times of forwards are measured once for a run, so that its predictions can be compared. */
async function measuredForwards(run: PreparedRun, { out, backend, signal }: TrainRequest): Promise<MeasuredForwards> {
  const log = logOf(out);
  log.readUpTo(run.checkpoint?.step ?? 0);
  const [first] = log.entries;
  if (first !== undefined) return first.forwards;
  const model = await backend.load(run.program);
  try {
    return await measureForwards(model, run.shape.masks, signal);
  } finally {
    model.dispose();
  }
}

function logOf(out: string): RunLog {
  return new RunLog(join(out, "checkpoints", "log.jsonl"));
}

/** The steps of a run between its start, or a checkpoint, and its end. */
class Session {
  readonly #request: TrainRequest;
  readonly #run: PreparedRun;
  readonly #model: GatedModel;
  readonly #measured: MeasuredForwards;
  readonly #trainer: Trainer;
  readonly #log: RunLog;
  readonly #earlierMs: number;
  readonly #startMs = performance.now();
  #positions: number;
  #losses: number[] = [];

  constructor(request: TrainRequest, run: PreparedRun, model: GatedModel, measured: MeasuredForwards) {
    this.#request = request;
    this.#run = run;
    this.#model = model;
    this.#measured = measured;
    this.#trainer = new Trainer(model, run.record.settings, run.rows, trainedValues(run.program));
    this.#log = logOf(request.out);
    if (run.checkpoint !== undefined) this.#log.readUpTo(run.checkpoint.step);
    this.#positions = run.checkpoint?.state.positions ?? 0;
    this.#earlierMs = this.#log.entries.at(-1)?.elapsedMs ?? 0;
  }

  async run(): Promise<TrainResult> {
    const { signal, onEvent, checkpointEvery } = this.#request;
    const { record, rows, heldOut, coverage, checkpoint } = this.#run;
    if (checkpoint !== undefined) {
      await this.#trainer.restore(checkpoint.step, checkpoint.tensors, (name) => {
        throw malformed(checkpoint.path, `tensor ${name}`, "the type and size that the settings give", "another");
      });
    }
    const parameters = [...this.#trainer.values.values()].reduce((sum, { length }) => sum + length, 0);
    const counts = { rows: rows.length, heldOutRows: heldOut.length, coverage, parameters };
    onEvent({ kind: "start", record, step: this.#trainer.step, ...counts });
    let stepMs = 0;
    for (let share = this.#share(stepMs); share.before < 1; share = this.#share(stepMs)) {
      if (signal.aborted) {
        this.#checkpoint();
        return { status: "stopped", step: this.#trainer.step };
      }
      const beganMs = performance.now();
      const report = await this.#trainer.next(share);
      stepMs = performance.now() - beganMs;
      this.#positions += report.rows;
      this.#losses.push(report.loss);
      onEvent({ kind: "step", elapsedMs: this.#elapsedMs, share: share.after, ...report });
      const isLast = this.#share(stepMs).before >= 1;
      if (isLast || this.#trainer.step % checkpointEvery === 0) this.#checkpoint(await this.#evaluate());
    }
    return this.#finish();
  }

  get #elapsedMs(): number {
    return this.#earlierMs + performance.now() - this.#startMs;
  }

  /** The next step's share of the run: by steps, or by time if hours are given. */
  #share(stepMs: number): StepShare {
    const { steps, hours } = this.#run.record.settings;
    const { step } = this.#trainer;
    if (steps !== undefined) return { before: step / steps, after: (step + 1) / steps };
    const allMs = (hours ?? 0) * 3_600_000;
    const elapsedMs = this.#elapsedMs;
    return { before: elapsedMs / allMs, after: Math.min(1, (elapsedMs + stepMs) / allMs) };
  }

  /** Undefined without held-out rows, and while the run is being stopped. */
  async #evaluate(): Promise<Evaluation | undefined> {
    const { signal, onEvent } = this.#request;
    const { masks } = this.#run.shape;
    try {
      const forwardMs = forwardMsOf(this.#measured);
      const evaluation = await evaluate(this.#model, this.#run.heldOut, masks, forwardMs, signal);
      if (evaluation !== undefined) onEvent({ kind: "evaluation", step: this.#trainer.step, evaluation });
      return evaluation;
    } catch (error) {
      if (signal.aborted) return undefined;
      throw error;
    }
  }

  #checkpoint(evaluation?: Evaluation): void {
    const { checkpoints, record: run } = this.#run;
    const { step } = this.#trainer;
    const loss = this.#losses.reduce((a, b) => a + b, 0) / this.#losses.length;
    const forwards = this.#measured;
    // The log first: a checkpoint always has its entry.
    const entry = { step, positions: this.#positions, elapsedMs: this.#elapsedMs, loss, forwards };
    if (this.#losses.length > 0) this.#log.add({ ...entry, ...(evaluation && { evaluation }) });
    this.#losses = [];
    const state = JSON.stringify({ run, step, positions: this.#positions });
    if (!checkpoints.steps.includes(step)) checkpoints.write(step, { tensors: this.#trainer.tensors(), state });
    checkpoints.keepOnly([...checkpoints.steps.slice(-this.#request.keepCheckpoints), this.#bestStep()]);
    this.#request.onEvent({ kind: "checkpoint", step, path: checkpoints.pathOf(step) });
  }

  /** The step whose weights are the result: of a run of steps the last one, else that with the best prediction. */
  #bestStep(): number {
    const { step } = this.#trainer;
    if (this.#run.record.settings.steps !== undefined) return step;
    const speed = ({ evaluation }: LogEntry) => evaluation?.predicted?.tokensPerSecond ?? 0;
    const [best] = this.#log.entries.toReversed().toSorted((a, b) => speed(b) - speed(a));
    return best !== undefined && this.#run.checkpoints.steps.includes(best.step) ? best.step : step;
  }

  #finish(): TrainResult {
    const { out, program } = this.#request;
    const { record, shape, base, checkpoints, coverage } = this.#run;
    const step = this.#bestStep();
    const values = step === this.#trainer.step ? this.#trainer.values : valuesOf(checkpoints.pathOf(step));
    const entry = this.#log.entries.find((found) => found.step === step);
    const adapter = makeAdapter(shape, base, (id) => values.get(id) ?? new Float32Array());
    writeAdapter(out, adapter, record.settings.store, {
      run: record,
      steps: step,
      positions: entry?.positions ?? this.#positions,
      hours: this.#elapsedMs / 3_600_000,
      coverage,
      ...(entry?.evaluation && { evaluation: entry.evaluation }),
      ...program,
    });
    checkpoints.keepOnly([this.#trainer.step]);
    return { status: "finished", step, ...(entry?.evaluation && { evaluation: entry.evaluation }) };
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
