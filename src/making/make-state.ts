import { existsSync, readdirSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { IdlmError, key, type Phrase, phrase } from "../errors.ts";
import { readJsonObject } from "../formats/files/json.ts";
import { malformed } from "../formats/files/malformed.ts";
import { writeOutput } from "../formats/files/write-output.ts";
import type { BenchFigures } from "./bench-stage.ts";
import type { MachineFigures } from "./machine.ts";
import type { Plan } from "./plan.ts";
import type { MakeSettings } from "./settings.ts";
import type { SettingsFigures, VariantFigures } from "./settings-stage.ts";
import type { StageName } from "./stages.ts";
import type { TrainFigures } from "./train-stage.ts";
import type { VerifyFigures } from "./verify-stage.ts";
import type { WriteFigures } from "./write-stage.ts";

/** Results of finished stages. */
export interface StageResults {
  readonly machine?: MachineFigures & { readonly plan: Plan };
  readonly write?: WriteFigures;
  readonly settings?: SettingsFigures;
  readonly train?: TrainFigures;
  readonly verify?: VerifyFigures;
  readonly bench?: BenchFigures;
}

/** Content of make.json. */
export interface MakeState {
  readonly model: { readonly name: string; readonly fingerprint: string };
  readonly settings: MakeSettings;
  readonly results: StageResults;
  /** Work on each stage so far, in all sessions. */
  readonly workMs: Readonly<Partial<Record<StageName, number>>>;
  /** The file of prompts, if one was given. */
  readonly prompts?: string;
  /** Settings tried so far, until that stage is finished. */
  readonly variants?: readonly VariantFigures[];
  /** Decided when training begins, from the time that is left. */
  readonly trainHours?: number;
}

const KIND = "idlm-make";
const FORMAT = 1;
const FILE = "make.json";

/** Reads and replaces make.json: the state is that of one of its writes, whenever the process is killed. */
export class StateFile {
  readonly path: string;

  constructor(folder: string) {
    this.path = join(folder, FILE);
  }

  /** Undefined: nothing was begun. @throws IdlmError "file-malformed", "file-unreadable". */
  read(): MakeState | undefined {
    if (!existsSync(this.path)) return undefined;
    const json = readJsonObject(this.path);
    if (json.kind !== KIND || json.format !== FORMAT) {
      const found = "something else: another version of idlm made it";
      throw malformed(this.path, "kind, format", `${KIND} ${FORMAT}`, found);
    }
    return json as unknown as MakeState;
  }

  /** @throws IdlmError "file-unwritable"; the file is then as before. */
  write(state: MakeState): void {
    const text = `${JSON.stringify({ format: FORMAT, kind: KIND, ...state }, null, 1)}\n`;
    writeOutput(this.path, [Buffer.from(text)]);
  }

  /** Removes what a kill during a write has left. */
  removeTemporary(): void {
    const folder = dirname(this.path);
    for (const name of readdirSync(folder)) {
      if (name.startsWith(`${basename(this.path)}.`) && name.endsWith(".tmp")) rmSync(join(folder, name));
    }
  }
}

/** Requested settings of a run; absent ones are those that it was begun with. */
export type AskedSettings = Partial<MakeSettings>;

/** @throws IdlmError "run-mismatch" if the state is that of another model or of other settings. */
export function checkSameMake(folder: string, state: MakeState, fingerprint: string, asked: AskedSettings): void {
  const differ = (reason: string, hint: Phrase) => new IdlmError("run-mismatch", { path: folder, reason, hint });
  if (state.model.fingerprint !== fingerprint) {
    const reason = `it was begun with a model of SHA-256 ${state.model.fingerprint}, and ${state.model.name} now has ${fingerprint}`;
    throw differ(reason, phrase`Restore the model, or name another folder (${key("out")}).`);
  }
  for (const name of ["hours", "seed", "promptsSha256"] as const) {
    const [found, wanted] = [state.settings[name], asked[name]];
    if (wanted === undefined || wanted === found) continue;
    const what = name === "promptsSha256" ? "it has other prompts" : `with ${name} ${found}, not ${wanted}`;
    throw differ(what, phrase`Leave it out to go on, or name another folder (${key("out")}).`);
  }
}
