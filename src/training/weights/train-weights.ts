import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Backend } from "../../compute/backend.ts";
import type { FullModel } from "../../compute/gradients/full-step.ts";
import { trainableProgram } from "../../compute/gradients/trainable-program.ts";
import type { Program } from "../../compute/program/program.ts";
import { textOf } from "../../engine/load/text-tokenizer.ts";
import { readJsonObject, requireObject } from "../../formats/files/json.ts";
import { malformed } from "../../formats/files/malformed.ts";
import { trainedTensorShape } from "../../model/compile/parameters.ts";
import { compileProgram } from "../../model/compile.ts";
import { trainedValues } from "../adapter/start.ts";
import { CheckpointFolder } from "../checkpoints/checkpoint-folder.ts";
import type { TrainingRow } from "../data/training-data.ts";
import { chooseHeldOut } from "../evaluation/evaluation.ts";
import { checkSameRun, otherRun, parseRecord, parseState, type RunRecord } from "../run-record.ts";
import {
  type LoopEvent,
  type LoopRequest,
  type LoopRun,
  requireRunSpace,
  type StoredState,
  TrainingLoop,
  type TrainResult,
  withRunFolder,
} from "../training-loop.ts";
import { readChatRows } from "./chat-rows.ts";
import type { StartModel } from "./start-model.ts";
import { evaluateWeights, type WeightEvaluation } from "./weight-evaluation.ts";
import { type WeightSettings, weightDefaults } from "./weight-settings.ts";
import { isUsable, WeightTrainer } from "./weight-trainer.ts";
import { MODEL_RECORD, writeModel } from "./write-model.ts";

export interface WeightRequest extends LoopRequest {
  readonly start: StartModel;
  readonly backend: Backend;
  /** Folder of `idlm write`. */
  readonly data: string;
  readonly settings: Pick<WeightSettings, "objective"> & Partial<WeightSettings>;
  /** Most held-out rows to evaluate. */
  readonly heldOutRows: number;
  /** Versions of the software, recorded with the model. */
  readonly program: Readonly<Record<string, string>>;
  readonly onWarning: (message: string) => void;
  readonly onEvent: (event: WeightEvent) => void;
}

export type WeightEvent =
  | {
      readonly kind: "start";
      readonly record: RunRecord<WeightSettings>;
      /** Steps done by earlier sessions. */
      readonly step: number;
      readonly rows: number;
      readonly heldOutRows: number;
      readonly responseTokens: number;
      readonly parameters: number;
    }
  | LoopEvent<WeightEvaluation>;

/**
 * Trains all weights of a model, or resumes a run that was stopped or killed. The result is a model folder. Bytes and
 * interruptions as of `train`. Errors: "run-mismatch"; those of `readChatRows`; "busy"; "file-unwritable"; "not-finite";
 * "diverged".
 */
export function trainWeights(request: WeightRequest): Promise<TrainResult<WeightEvaluation>> {
  return withRunFolder(request, async (folder) => {
    const checkpoints = new CheckpointFolder(folder);
    const run = await prepare(request, checkpoints);
    if (run.isFinished) {
      checkpoints.keepOnly(checkpoints.steps.slice(-1));
      return { status: "already finished", step: run.checkpoint?.step ?? 0 };
    }
    const program = trainableProgram(compileProgram(request.start.opened));
    const valueBytes = Object.values(program.parameters).reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
    await requireRunSpace(request, valueBytes, run);
    const model = await request.backend.loadFull(program);
    try {
      return await new TrainingLoop(request, loopRun(request, run, model, program)).run();
    } finally {
      model.dispose();
    }
  });
}

interface PreparedWeights {
  readonly record: RunRecord<WeightSettings>;
  readonly checkpoints: CheckpointFolder;
  readonly checkpoint: StoredState | undefined;
  readonly rows: readonly TrainingRow[];
  readonly heldOut: readonly TrainingRow[];
  readonly responseTokens: number;
  readonly isFinished: boolean;
}

async function prepare(request: WeightRequest, checkpoints: CheckpointFolder): Promise<PreparedWeights> {
  const { start, backend, data: folder, out, onWarning } = request;
  const found = checkpoints.readNewest((error) => onWarning(`${error.message} The checkpoint before it is used.`));
  const checkpoint = found && { ...found, state: parseState(found.state, found.path) };
  const finished = finishedRun(out);
  const earlier = finished ?? checkpoint?.state.run;
  const { vocabSize, contextLength } = start.opened.config;
  const { path } = start.opened;
  const ofText = { path, fingerprint: start.fingerprint, vocabSize, contextLength, text: textOf(start.opened) };
  const data = await readChatRows(folder, ofText, earlier?.data, onWarning);
  if (data === undefined) throw otherRun(out, "it has other data");
  const settings: WeightSettings = { ...weightDefaults[request.settings.objective], ...request.settings };
  const { name, numerics } = backend.info;
  const record = { settings, data: data.identity, base: start.fingerprint, backend: name, numerics };
  if (earlier !== undefined) checkSameRun(out, earlier, record);
  const usable = (rows: readonly TrainingRow[]) => rows.filter((row) => isUsable(row, settings.masks));
  const rows = usable(data.train);
  if (rows.length === 0) throw malformed(folder, "rows", "a training row whose response has two tokens", "none");
  return {
    ...{ record, checkpoints, checkpoint, rows, responseTokens: data.responseTokens },
    heldOut: chooseHeldOut(usable(data.heldOut), request.heldOutRows),
    isFinished: finished !== undefined,
  };
}

/** The run whose model is in a folder; undefined: none. */
function finishedRun(out: string): RunRecord<WeightSettings> | undefined {
  const path = join(out, MODEL_RECORD);
  if (!existsSync(path)) {
    if (existsSync(join(out, "config.json"))) throw otherRun(out, "it holds a model that idlm train has not written");
    return undefined;
  }
  const { objective, training } = readJsonObject(path);
  if (objective !== "full" && objective !== "plain") throw otherRun(out, "it holds an adapter");
  return parseRecord(requireObject(training, path, "training").run, path) as RunRecord<WeightSettings>;
}

function loopRun(
  { start, out, program: versions, onEvent }: WeightRequest,
  { record, checkpoints, checkpoint, rows, heldOut, responseTokens }: PreparedWeights,
  model: FullModel,
  program: Program,
): LoopRun<WeightEvaluation> {
  const { settings } = record;
  const { maskToken = 0 } = start;
  const isMatrix = (id: string) => trainedTensorShape(program, id).length > 1;
  const trainer = new WeightTrainer(model, settings, rows, { values: trainedValues(program), maskToken, isMatrix });
  return {
    ...{ record, checkpoints, checkpoint, trainer, onEvent },
    evaluate: (signal) => evaluateWeights(model, heldOut, settings.masks, maskToken, signal),
    // The last checkpoint: earlier ones of full training have smaller blocks.
    score: () => 0,
    onStart: () => {
      const parameters = [...trainer.values.values()].reduce((sum, { length }) => sum + length, 0);
      const counts = { rows: rows.length, heldOutRows: heldOut.length, responseTokens, parameters };
      onEvent({ kind: "start", record, step: trainer.step, ...counts });
    },
    finish: (values, { step, positions, elapsedMs, evaluation }) => {
      writeModel(out, start, values, settings.store, {
        objective: settings.objective,
        ...(settings.masks > 0 && { masks: settings.masks, mask_token_id: start.maskToken }),
        training: {
          ...{ run: record, steps: step, positions, hours: elapsedMs / 3_600_000 },
          ...(evaluation && { evaluation }),
          ...versions,
        },
      });
    },
  };
}
