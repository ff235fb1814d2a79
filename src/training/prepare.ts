import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Backend } from "../compute/backend.ts";
import type { Program } from "../compute/program/program.ts";
import { IdlmError } from "../errors.ts";
import { type Adapter, readAdapter } from "../formats/adapter/adapter.ts";
import { malformed } from "../formats/files/malformed.ts";
import { compileProgram } from "../model/compile.ts";
import type { OpenedModel } from "../model/open/open-model.ts";
import type { AdapterShape, BaseOfAdapter } from "./adapter/adapter-shape.ts";
import { type AdapterStart, type AskedShape, baseOf, newAdapter, readStart } from "./adapter/start.ts";
import { anchorSpans } from "./batches/anchors.ts";
import { CheckpointFolder } from "./checkpoints/checkpoint-folder.ts";
import { chooseDraftVocabulary, countResponseIds, coverage } from "./data/draft-vocabulary.ts";
import { readTrainingData, type TrainingData, type TrainingRow } from "./data/training-data.ts";
import { chooseHeldOut } from "./evaluation/evaluation.ts";
import { checkSameRun, otherRun, parseRecord, parseState, type RunRecord } from "./run-record.ts";
import { type RunLength, type TrainingSettings, trainingDefaults } from "./settings.ts";
import type { StoredState } from "./training-loop.ts";

/** A model as training needs it. */
export interface BaseModel {
  readonly opened: OpenedModel;
  readonly name: string;
  /** Of its weights, as training text carries it. */
  readonly fingerprint: string;
  /** SHA-256 of its file, as adapters carry it; a folder has none. */
  readonly sha256: string | undefined;
}

/** Request for a run; absent settings have their defaults. */
export interface RunRequest {
  readonly base: BaseModel;
  readonly backend: Backend;
  /** Folder of `idlm write`. */
  readonly data: string;
  /** Folder of the adapter, with the checkpoints in it. */
  readonly out: string;
  /** Adapter folder to start from. */
  readonly init?: string;
  readonly settings: Partial<Omit<TrainingSettings, keyof AskedShape>> & AskedShape;
  /** Most held-out rows to evaluate. */
  readonly heldOutRows: number;
  readonly onWarning: (message: string) => void;
}

/** A run before its first step, or before the first one after a checkpoint. */
export interface PreparedRun {
  readonly record: RunRecord;
  readonly program: Program;
  readonly shape: AdapterShape;
  readonly base: BaseOfAdapter;
  /** Rows with room for a MASK run. */
  readonly rows: readonly TrainingRow[];
  readonly heldOut: readonly TrainingRow[];
  /** Share of the held-out responses' tokens that are in the draft vocabulary. */
  readonly coverage: number;
  readonly checkpoints: CheckpointFolder;
  readonly checkpoint: StoredState | undefined;
  /** The adapter is there already. */
  readonly isFinished: boolean;
}

/**
 * Reads and validates the inputs of a run, and the state of an earlier session. @throws IdlmError "run-mismatch" if
 * `out` has another run; those of `readTrainingData`, `readStart`, `compileProgram`.
 */
export function prepareRun(request: RunRequest): PreparedRun {
  const { base: model, backend, out, init, onWarning } = request;
  const checkpoints = new CheckpointFolder(join(out, "checkpoints"));
  const found = checkpoints.readNewest((error) => onWarning(`${error.message} The checkpoint before it is used.`));
  const checkpoint = found && { ...found, state: parseState(found.state, found.path) };
  const finished = finishedRun(out);
  const earlier = finished ?? checkpoint?.state.run;
  const { vocabSize, contextLength, nLayers } = model.opened.config;
  const ofData = { name: model.name, fingerprint: model.fingerprint, vocabSize, contextLength };
  const data = readTrainingData(request.data, ofData, earlier?.data);
  if (data === undefined) throw otherRun(out, "it has other data");
  const start = init === undefined ? undefined : readStart(init, request.settings);
  const counts = countResponseIds(data.train, vocabSize);
  const shape =
    start === undefined ? newShape(request.settings, counts, nLayers) : shapeOf(start, request.settings, counts);
  const settings: TrainingSettings = {
    ...trainingDefaults,
    ...request.settings,
    ...{ ...shape, draftVocabulary: shape.draftVocabulary.length },
  };
  const record: RunRecord = {
    settings,
    data: data.identity,
    base: model.fingerprint,
    ...(start && { init: start.sha256 }),
    backend: backend.info.name,
    numerics: backend.info.numerics,
  };
  if (earlier !== undefined) checkSameRun(out, earlier, record);
  const base = baseOf(model.opened, model.name, model.sha256);
  const adapter = start && withDraftVocabulary(start.adapter, shape.draftVocabulary);
  const program = compileProgram(model.opened, {
    adapter: adapter ?? newAdapter(shape, model.opened, base, settings.seed),
    ...(model.sha256 && { modelSha256: model.sha256 }),
  });
  return {
    ...{ record, program, shape, base, checkpoints, checkpoint },
    rows: usableRows(data, settings.masks),
    heldOut: chooseHeldOut(data.heldOut, request.heldOutRows),
    coverage: coverage(countResponseIds(data.heldOut, vocabSize), shape.draftVocabulary),
    isFinished: finished !== undefined,
  };
}

/** The start's shape, with a draft vocabulary from the data if a size is given. */
function shapeOf({ shape }: AdapterStart, { draftVocabulary: size }: AskedShape, counts: Float64Array): AdapterShape {
  return size === undefined ? shape : { ...shape, draftVocabulary: chooseDraftVocabulary(counts, size) };
}

function withDraftVocabulary(adapter: Adapter, draftVocabulary: Int32Array<ArrayBuffer>): Adapter {
  return { ...adapter, idlm: adapter.idlm && { ...adapter.idlm, draftVocabulary } };
}

function newShape(asked: AskedShape, counts: Float64Array, nLayers: number): AdapterShape {
  const { masks = trainingDefaults.masks, rank = trainingDefaults.rank, alpha = trainingDefaults.alpha } = asked;
  // MASK rows that enter after two thirds of the layers cost a third, and nearly keep their acceptance.
  const { entryLayer = Math.floor((2 * nLayers) / 3), draftVocabulary: size = trainingDefaults.draftVocabulary } =
    asked;
  if (entryLayer >= nLayers) {
    const problem = `entry layer ${entryLayer}: the model has ${nLayers} layers`;
    throw new IdlmError("usage", { problem, hint: `Use at most ${nLayers - 1}` });
  }
  return { masks, entryLayer, rank, alpha, draftVocabulary: chooseDraftVocabulary(counts, size) };
}

function usableRows({ path, train }: TrainingData, nMasks: number): TrainingRow[] {
  const rows = train.filter(({ isResponse }) => anchorSpans(isResponse, nMasks).length > 0);
  if (rows.length > 0) return rows;
  throw malformed(path, "rows", `a training row whose response has more than ${nMasks} tokens`, "none");
}

/** The run whose adapter is in a folder; undefined: none. */
function finishedRun(out: string): RunRecord<RunLength> | undefined {
  const path = join(out, "idlm_config.json");
  if (!existsSync(path) && !existsSync(join(out, "adapter_config.json"))) return undefined;
  if (!existsSync(path)) return undefined;
  const run = readAdapter(out).idlm?.training?.run;
  if (run === undefined) throw otherRun(out, "it holds an adapter that idlm train has not written");
  return parseRecord(run, path);
}
