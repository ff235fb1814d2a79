import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { IdlmError } from "../../errors.ts";
import { writeError } from "../../formats/files/file-error.ts";
import { makeFolder } from "../../formats/files/make-folder.ts";
import { type CheckpointContent, readCheckpointFile, writeCheckpointFile } from "./checkpoint-file.ts";

/** A checkpoint that was read. */
export interface FoundCheckpoint extends CheckpointContent {
  readonly path: string;
  readonly step: number;
}

/** Enough for the step counts of any run, and file names in order of steps. */
const STEP_DIGITS = 9;
const NAME = /^step-(\d{9})\.safetensors$/;
/** Of a write that was killed. */
const TEMPORARY = /^step-\d{9}\.safetensors\.[0-9a-f]+\.tmp$/;

/** The checkpoints of one run: `step-000000200.safetensors`, … */
export class CheckpointFolder {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** Steps with a checkpoint, ascending. */
  get steps(): number[] {
    return this.#names()
      .flatMap((name) => NAME.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b);
  }

  /** @throws IdlmError "file-unwritable". */
  write(step: number, content: CheckpointContent): void {
    makeFolder(this.#path);
    writeCheckpointFile(this.pathOf(step), content);
  }

  /**
   * The newest intact checkpoint; undefined: there are none. Damaged ones are reported and skipped. @throws IdlmError
   * of the oldest one if all are damaged.
   */
  readNewest(onDamaged: (error: IdlmError) => void): FoundCheckpoint | undefined {
    let failure: IdlmError | undefined;
    for (const step of this.steps.reverse()) {
      const path = this.pathOf(step);
      if (failure !== undefined) onDamaged(failure);
      try {
        return { ...readCheckpointFile(path), path, step };
      } catch (error) {
        if (!(error instanceof IdlmError)) throw error;
        failure = error;
      }
    }
    if (failure !== undefined) throw failure;
    return undefined;
  }

  /** Removes all checkpoints but those of `kept` steps, and files left by killed writes. */
  keepOnly(kept: Iterable<number>): void {
    const names = new Set([...kept].map((step) => nameOf(step)));
    for (const name of this.#names()) {
      const isOld = NAME.test(name) && !names.has(name);
      if (isOld || TEMPORARY.test(name)) rmSync(join(this.#path, name), { force: true });
    }
  }

  pathOf(step: number): string {
    return join(this.#path, nameOf(step));
  }

  #names(): string[] {
    try {
      return readdirSync(this.#path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw writeError(this.#path, error);
    }
  }
}

function nameOf(step: number): string {
  return `step-${String(step).padStart(STEP_DIGITS, "0")}.safetensors`;
}
