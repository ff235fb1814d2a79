import { IdlmError } from "../errors.ts";
import { kindOf, parseJson, requireObject } from "../formats/files/json.ts";
import { malformed } from "../formats/files/malformed.ts";
import type { DataIdentity } from "./data/training-data.ts";
import { type RunLength, settingDifferences, type TrainingSettings } from "./settings.ts";

/** Everything that a run's result depends on. A resumed run must have the same record. */
export interface RunRecord<S extends RunLength = TrainingSettings> {
  readonly settings: S;
  readonly data: DataIdentity;
  /** Fingerprint of the base model. */
  readonly base: string;
  /** SHA-256 of the adapter's tensors that it starts from. */
  readonly init?: string;
  /** Backend that computed it. */
  readonly backend: string;
  readonly numerics: number;
}

/** Parses a record. @throws IdlmError "file-malformed". */
export function parseRecord(value: unknown, path: string): RunRecord<RunLength> {
  const json = requireObject(value, path, "run");
  for (const key of ["settings", "data"]) requireObject(json[key], path, `run, ${key}`);
  return json as unknown as RunRecord<RunLength>;
}

/** A checkpoint's state beside its tensors. */
export interface RunState {
  readonly run: RunRecord<RunLength>;
  readonly step: number;
  /** Rows with a target that were trained so far. */
  readonly positions: number;
}

/** @throws IdlmError "file-malformed". */
export function parseState(text: string, path: string): RunState {
  const json = requireObject(parseJson(Buffer.from(text), path, "state"), path, "state");
  const count = (name: string): number => {
    const value = json[name];
    if (!Number.isSafeInteger(value)) throw malformed(path, `state, ${name}`, "a whole number", kindOf(value));
    return value as number;
  };
  return { run: parseRecord(json.run, path), step: count("step"), positions: count("positions") };
}

const names: Readonly<Record<string, string>> = {
  base: "another base model",
  init: "another adapter to start from",
  backend: "another backend",
  numerics: "another version of idlm's numerics",
};

export function otherRun(path: string, reason: string): IdlmError {
  return new IdlmError("run-mismatch", { path, reason, hint: "Name another folder, or run it as it was begun." });
}

/** @throws IdlmError "run-mismatch" if the run at `path` is not the requested one. */
export function checkSameRun(path: string, found: RunRecord<RunLength>, asked: RunRecord<RunLength>): void {
  const fail = (reason: string) => otherRun(path, reason);
  const [setting] = settingDifferences({ ...found.settings }, { ...asked.settings });
  if (setting !== undefined) throw fail(`with ${setting.name} ${setting.a}, not ${setting.b}`);
  if (found.data.sha256 !== asked.data.sha256 || found.data.bytes !== asked.data.bytes) throw fail("it has other data");
  for (const [key, what] of Object.entries(names)) {
    if (found[key as keyof RunRecord] !== asked[key as keyof RunRecord]) throw fail(`it has ${what}`);
  }
}
