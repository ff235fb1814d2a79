import type { Backend } from "../compute/backend.ts";
import type { BaseModel } from "../training/prepare.ts";
import type { MakeSettings } from "./settings.ts";

/** What every stage works with. */
export interface StageContext {
  readonly base: BaseModel;
  /** Path of the model. */
  readonly path: string;
  readonly backend: Backend;
  readonly threads: number | undefined;
  /** Folder of the make. */
  readonly out: string;
  readonly settings: MakeSettings;
  /** Versions of the software, recorded with the adapter. */
  readonly program: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Work on the stage so far, in all sessions. */
  readonly workedMs: () => number;
  /** Progress: the share of the stage that is done, and a few words. */
  readonly onProgress: (share: number, detail: string) => void;
  readonly onNotice: (sentence: string) => void;
}
