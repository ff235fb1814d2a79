import { readFileSync } from "node:fs";
import { writeOutput } from "../formats/files/write-output.ts";
import type { Evaluation } from "./evaluation/evaluation.ts";
import type { MeasuredForwards } from "./evaluation/measure-forwards.ts";

/** Events up to a checkpoint. Times are stored here, not in checkpoints. */
export interface LogEntry {
  readonly step: number;
  /** MASK rows trained so far. */
  readonly positions: number;
  /** Of all sessions of the run so far. */
  readonly elapsedMs: number;
  /** Mean since the entry before. */
  readonly loss: number;
  /** Times of forwards on the machine that started the run. */
  readonly forwards: MeasuredForwards;
  readonly evaluation?: Evaluation;
}

/** A line for each checkpoint, replaced as a whole, so that no line is ever torn. */
export class RunLog {
  readonly #path: string;
  #entries: LogEntry[] = [];

  constructor(path: string) {
    this.#path = path;
  }

  get entries(): readonly LogEntry[] {
    return this.#entries;
  }

  /** Reads the log of an earlier session up to a step. An unreadable log is replaced, since no result depends on it. */
  readUpTo(step: number): void {
    try {
      const lines = readFileSync(this.#path, "utf8").trim().split("\n");
      this.#entries = lines.map((line) => JSON.parse(line) as LogEntry).filter((entry) => entry.step <= step);
    } catch {
      this.#entries = [];
    }
  }

  /** @throws IdlmError "file-unwritable". */
  add(entry: LogEntry): void {
    this.#entries.push(entry);
    writeOutput(this.#path, [Buffer.from(this.#entries.map((line) => `${JSON.stringify(line)}\n`).join(""))]);
  }
}
