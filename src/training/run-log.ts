import { readFileSync } from "node:fs";
import { writeOutput } from "../formats/files/write-output.ts";
import type { MeasuredForwards } from "./evaluation/measure-forwards.ts";

/** Events up to a checkpoint. Times are stored here, not in checkpoints. */
export interface LogEntry<E> {
  readonly step: number;
  /** Rows with a target, so far. */
  readonly positions: number;
  /** Of all sessions of the run so far. */
  readonly elapsedMs: number;
  /** Mean since the entry before. */
  readonly loss: number;
  /** Times of forwards on the machine that started the run. */
  readonly forwards?: MeasuredForwards;
  readonly evaluation?: E;
}

/** A line for each checkpoint, replaced as a whole, so that no line is ever torn. */
export class RunLog<E> {
  readonly #path: string;
  #entries: LogEntry<E>[] = [];

  constructor(path: string) {
    this.#path = path;
  }

  get entries(): readonly LogEntry<E>[] {
    return this.#entries;
  }

  /** Reads the log of an earlier session up to a step. An unreadable log is replaced, since no result depends on it. */
  readUpTo(step: number): void {
    try {
      const lines = readFileSync(this.#path, "utf8").trim().split("\n");
      this.#entries = lines.map((line) => JSON.parse(line) as LogEntry<E>).filter((entry) => entry.step <= step);
    } catch {
      this.#entries = [];
    }
  }

  /** @throws IdlmError "file-unwritable". */
  add(entry: LogEntry<E>): void {
    this.#entries.push(entry);
    writeOutput(this.#path, [Buffer.from(this.#entries.map((line) => `${JSON.stringify(line)}\n`).join(""))]);
  }
}
