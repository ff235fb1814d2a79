import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { chooseBackend } from "../engine/load/open-program.ts";
import { load } from "../engine/load/load.ts";
import type { LoadProgress } from "../engine/types.ts";
import { IdlmError } from "../errors.ts";
import { makeFolder } from "../formats/files/make-folder.ts";
import { requireFreeSpace } from "../formats/files/free-space.ts";
import { writeOutput } from "../formats/files/write-output.ts";
import { lockFolder, type ModelLocation, resolveModel } from "../hub/index.ts";
import { openModel } from "../model/open/open-model.ts";
import { modelFingerprint, modelStamp } from "../training/model-fingerprint.ts";
import { FilePrompts } from "../training/text/prompts/prompts-file.ts";
import { benchStage } from "./bench-stage.ts";
import type { StageContext } from "./context.ts";
import { measureMachine } from "./machine.ts";
import { type AskedSettings, checkSameMake, type MakeState, type StageResults, StateFile } from "./make-state.ts";
import { makePlan, type Plan, trainSeconds } from "./plan.ts";
import { reportPage } from "./report/report-page.ts";
import { type MakeSettings, makeDefaults } from "./settings.ts";
import { settingsStage, type VariantFigures } from "./settings-stage.ts";
import { type StageName, stageNames } from "./stages.ts";
import { adapterFolder, trainStage } from "./train-stage.ts";
import { verifyStage } from "./verify-stage.ts";
import { WorkClock } from "./work-clock.ts";
import { writeStage } from "./write-stage.ts";

/** As for `idlm write`: positions of a chat. */
const MAX_CONTEXT = 2048;

/** Of training text, and its prompts. */
const BYTES_PER_TOKEN = 16;
/** Of trained values on the disk: four checkpoints with two moments each, and the adapter. */
const COPIES = 13;

type SharedContext = Omit<StageContext, "workedMs" | "onProgress">;

export interface MakeRequest {
  /** A name or a path, as of `load`. */
  readonly model: string;
  /** Folder of the adapter, the report, and everything that they are made from. */
  readonly out: string;
  /** Absent settings are those that the folder was begun with, else the defaults. */
  readonly hours?: number | undefined;
  readonly seed?: number | undefined;
  /** A file of prompts, as of `idlm write`. */
  readonly prompts?: string | undefined;
  readonly threads?: number | undefined;
  readonly backend?: "native" | "reference" | undefined;
  /** Versions of the software, recorded with the adapter. */
  readonly program: Readonly<Record<string, string>>;
  /** Commands that use the adapter, for the report. */
  readonly commands: readonly string[];
  readonly signal: AbortSignal;
  readonly onEvent: (event: MakeEvent) => void;
}

export type MakeEvent =
  | ({ readonly kind: "download" } & LoadProgress)
  | { readonly kind: "notice"; readonly text: string }
  /** After the machine was measured, and whenever a make is resumed. */
  | { readonly kind: "plan"; readonly plan: Plan; readonly state: MakeState }
  | { readonly kind: "begin"; readonly stage: StageName; readonly workMs: number }
  | {
      readonly kind: "progress";
      readonly stage: StageName;
      /** Of the stage, 0 to 1. */
      readonly share: number;
      readonly detail: string;
      /** Of all stages; undefined before there is a plan. */
      readonly secondsLeft: number | undefined;
    }
  | { readonly kind: "end"; readonly stage: StageName; readonly workMs: number };

export interface MakeResult {
  /** finished: by this call. */
  readonly status: "finished" | "already finished";
  /** Folder of the adapter. */
  readonly adapter: string;
  /** Path of the report. */
  readonly report: string;
  readonly state: MakeState;
}

/**
 * Makes an adapter for a model: measures the machine, has the model write text, tries settings, trains, verifies and
 * measures, and reports. Stopped or killed at any moment it goes on from there when it is called again. Errors: those of
 * `resolveModel`, `openModel`, `writeText`, `train`; "run-mismatch" for a folder of another model or other settings;
 * "bytes-differ"; "busy"; "file-unwritable"; "file-unreadable", also for a model that changes meanwhile; the signal's reason.
 */
export async function make(request: MakeRequest): Promise<MakeResult> {
  const { model, out, signal, onEvent } = request;
  const onNotice = (text: string) => onEvent({ kind: "notice", text });
  const onProgress = (progress: LoadProgress) => onEvent({ kind: "download", ...progress });
  const location = await resolveModel(model, { pull: true, onProgress, onNotice, signal });
  const stamp = modelStamp(location);
  const fingerprint = await modelFingerprint(location, signal);
  makeFolder(out);
  const lock = await lockFolder(out, signal);
  try {
    const file = new StateFile(out);
    file.removeTemporary();
    const asked = await askedSettings(request);
    const found = file.read();
    if (found !== undefined) checkSameMake(out, found, fingerprint, asked);
    const settings: MakeSettings = { ...makeDefaults, ...asked };
    const begun = found ?? { model: { name: model, fingerprint }, settings, results: {}, workMs: {} };
    // The file of prompts may have moved.
    const state = request.prompts === undefined ? begun : { ...begun, prompts: resolve(request.prompts) };
    return await new Making(request, { ...location, stamp }, file, state).run();
  } finally {
    await lock.release();
  }
}

async function askedSettings({ hours, seed, prompts, signal }: MakeRequest): Promise<AskedSettings> {
  const file = prompts === undefined ? undefined : await FilePrompts.read(prompts, "It has a prompt per line.", signal);
  return {
    ...(hours !== undefined && { hours }),
    ...(seed !== undefined && { seed }),
    ...(file && { promptsSha256: file.sha256 }),
  };
}

/** The stages of a make from where its state is. */
class Making {
  readonly #request: MakeRequest;
  readonly #location: ModelLocation & { readonly stamp: string };
  readonly #file: StateFile;
  #state: MakeState;

  constructor(
    request: MakeRequest,
    location: ModelLocation & { readonly stamp: string },
    file: StateFile,
    state: MakeState,
  ) {
    this.#request = request;
    this.#location = location;
    this.#file = file;
    this.#state = state;
  }

  async run(): Promise<MakeResult> {
    const { out, commands } = this.#request;
    const paths = { adapter: adapterFolder(out), report: join(out, "report.html") };
    const isFinished = this.#state.results.bench !== undefined;
    if (!isFinished) await this.#runStages();
    if (!isFinished || !existsSync(paths.report)) {
      writeOutput(paths.report, [Buffer.from(reportPage(this.#state, commands))]);
    }
    return { status: isFinished ? "already finished" : "finished", ...paths, state: this.#state };
  }

  async #runStages(): Promise<void> {
    const { path, kind } = this.#location;
    const { model: name, out, threads, program, signal, onEvent } = this.#request;
    const { model, settings } = this.#state;
    const onNotice = (text: string) => onEvent({ kind: "notice", text });
    const onWarning = (text: string) => onNotice(`warning: ${text}`);
    const backend = chooseBackend({ backend: this.#request.backend, threads, onWarning });
    const opened = openModel(path, kind);
    const sha256 = kind === "gguf" ? model.fingerprint : undefined;
    const base = { opened, name, fingerprint: model.fingerprint, sha256 };
    const shared = { base, path, backend, threads, out, settings, program, signal, onNotice };
    try {
      const { plan, ...speeds } = await this.#stage("machine", shared, async (context) => {
        const onPart = (what: string, share: number) => context.onProgress(share, what);
        const figures = await measureMachine({ ...context, onPart });
        return { ...figures, plan: makePlan(settings.hours, context.workedMs() / 1000, figures) };
      });
      onEvent({ kind: "plan", plan, state: this.#state });
      const needed = BYTES_PER_TOKEN * plan.writeTokens + COPIES * speeds.trainedBytes;
      if (this.#state.results.write === undefined) await requireFreeSpace(out, needed);
      await this.#stage("write", shared, (context) => writeStage(context, plan, this.#state.prompts));
      const { chosen } = await this.#stage("settings", shared, (context) => {
        const onVariant = (variants: readonly VariantFigures[]) => this.#save({ ...this.#state, variants });
        return settingsStage(context, plan, this.#state.variants ?? [], onVariant);
      });
      const hours = this.#trainHours(plan);
      const rowsPerSecond = speeds.trainRowsPerSecond;
      await this.#stage("train", shared, (context) => trainStage(context, hours, chosen, rowsPerSecond));
      await this.#check(shared, plan, speeds.plainTokensPerSecond);
    } finally {
      opened.close();
    }
  }

  /** Decided once, so that a resumed training has the settings that it began with. */
  #trainHours(plan: Plan): number {
    const { workMs, settings, trainHours } = this.#state;
    if (trainHours !== undefined) return trainHours;
    const workedSeconds = Object.values(workMs).reduce((sum, ms) => sum + ms, 0) / 1000;
    const hours = trainSeconds(settings.hours, workedSeconds, plan) / 3600;
    this.#save({ ...this.#state, trainHours: hours });
    return hours;
  }

  /** The stages that decode with the adapter. */
  async #check(shared: SharedContext, { seconds }: Plan, plainTokensPerSecond: number): Promise<void> {
    const { path, out, backend, threads, signal, base } = shared;
    const model = await load(path, {
      ...{ adapter: adapterFolder(out), threads, backend: backend.info.name, signal, maxSequences: 1 },
      context: Math.min(MAX_CONTEXT, base.opened.config.contextLength),
    });
    const speed = plainTokensPerSecond;
    try {
      await this.#stage("verify", shared, (context) => verifyStage(context, model, seconds.verify, speed));
      await this.#stage("bench", shared, (context) => benchStage(context, model, seconds.bench, speed));
    } finally {
      await model.dispose();
    }
  }

  /** Runs a stage unless its result is known already. */
  async #stage<N extends StageName>(
    stage: N,
    shared: SharedContext,
    work: (context: StageContext) => Promise<Required<StageResults>[N]>,
  ): Promise<Required<StageResults>[N]> {
    const found = this.#state.results[stage] as Required<StageResults>[N] | undefined;
    if (found !== undefined) return found;
    const { signal, onEvent } = this.#request;
    signal.throwIfAborted();
    this.#checkModel();
    const clock = new WorkClock(this.#state.workMs[stage] ?? 0, (workMs) => this.#saveWork(stage, workMs));
    const onProgress = (share: number, detail: string) => {
      clock.tick();
      onEvent({ kind: "progress", stage, share, detail, secondsLeft: this.#secondsLeft(stage, share) });
    };
    onEvent({ kind: "begin", stage, workMs: clock.workMs });
    try {
      const result = await work({ ...shared, workedMs: () => clock.workMs, onProgress });
      this.#checkModel();
      const workMs = { ...this.#state.workMs, [stage]: clock.workMs };
      this.#save({ ...this.#state, workMs, results: { ...this.#state.results, [stage]: result } });
      onEvent({ kind: "end", stage, workMs: clock.workMs });
      return result;
    } catch (error) {
      try {
        this.#saveWork(stage, clock.workMs);
      } catch {
        // The disk may be what failed. Only the time of this session is lost.
      }
      throw error;
    }
  }

  /** The files are those that were hashed at the start. Weights are read anew by each stage. */
  #checkModel(): void {
    if (modelStamp(this.#location) === this.#location.stamp) return;
    const reason = "it changed while it was in use. Restore it and run the same command again to go on";
    throw new IdlmError("file-unreadable", { path: this.#location.path, reason });
  }

  /** Of this stage and those after it; undefined before there is a plan. */
  #secondsLeft(stage: StageName, share: number): number | undefined {
    const { results, trainHours } = this.#state;
    if (results.machine === undefined) return undefined;
    const { seconds } = results.machine.plan;
    const of = (name: StageName) => (name === "train" && trainHours !== undefined ? 3600 * trainHours : seconds[name]);
    const later = stageNames.slice(stageNames.indexOf(stage) + 1);
    return of(stage) * (1 - Math.min(1, share)) + later.reduce((sum, name) => sum + of(name), 0);
  }

  #saveWork(stage: StageName, ms: number): void {
    this.#save({ ...this.#state, workMs: { ...this.#state.workMs, [stage]: ms } });
  }

  #save(state: MakeState): void {
    this.#file.write(state);
    this.#state = state;
  }
}
