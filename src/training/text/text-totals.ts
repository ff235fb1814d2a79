import { type DropReason, responseTokens, type TextOutcome, type TextSource } from "./row.ts";

/** Totals of a folder of training text, by source and temperature, and of dropped requests. */
export class TextTotals {
  rows = 0;
  heldOutRows = 0;
  responseTokens = 0;
  /** Of the next request. */
  nextIndex = 0;
  /** Requests since the last row. */
  nSinceRow = 0;
  readonly sources: Partial<Record<TextSource, { rows: number; response_tokens: number }>> = {};
  readonly temperatures: Record<string, number> = {};
  readonly dropped: Partial<Record<DropReason, number>> = {};

  add(outcome: TextOutcome): void {
    if ("dropped" in outcome) {
      const { index, reason } = outcome.dropped;
      this.dropped[reason] = (this.dropped[reason] ?? 0) + 1;
      this.nextIndex = index + 1;
      this.nSinceRow++;
      return;
    }
    const { index, source, split, temperature } = outcome.row;
    const nTokens = responseTokens(outcome.row);
    this.rows++;
    if (split === "held-out") this.heldOutRows++;
    this.responseTokens += nTokens;
    this.nextIndex = index + 1;
    this.nSinceRow = 0;
    const { rows, response_tokens } = this.sources[source] ?? { rows: 0, response_tokens: 0 };
    this.sources[source] = { rows: rows + 1, response_tokens: response_tokens + nTokens };
    this.temperatures[temperature] = (this.temperatures[temperature] ?? 0) + 1;
  }
}
