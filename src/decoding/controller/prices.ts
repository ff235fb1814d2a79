import type { CostModel } from "./cost-model.ts";
import type { StepPrices } from "./joint-choice.ts";

/** A step without the rows that are priced. */
export interface StepContext {
  /** Recent tokens per millisecond: converts time to tokens. */
  readonly tokensPerMs: number;
  /** Token rows without a choice: the pending token of each sequence, and rows of fixed rounds. */
  readonly rows: number;
  /** Recent MASK rows per step, beside which proposals are computed. */
  readonly maskRows: number;
  /** Recent proposals per step. */
  readonly proposals: number;
  /** Milliseconds of proposing at an anchor. */
  readonly anchorMs: number;
}

/** Lowest price of a row, in plain steps: with estimates of 0 or less, rows would be added without end. */
const LEAST_ROW = 0.001;

/** Prices of rows: their time, in tokens generated per time (StepContext.tokensPerMs). */
export class Prices implements StepPrices {
  /** Additional price of a step's first MASK row: reading the adapter. */
  readonly #anyMask: number;
  readonly draftedToken: number;
  /** Price of proposing at an anchor. */
  readonly anchor: number;
  readonly #cost: CostModel;
  readonly #step: StepContext;
  readonly #leastRow: number;
  readonly #contextRow: number;
  readonly #plainMs: number;
  /** Prices of n proposals, computed on demand. */
  readonly #proposals: (number | undefined)[] = [0];
  #least: { readonly most: number; readonly price: number } | undefined;

  constructor(cost: CostModel, step: StepContext) {
    this.#cost = cost;
    this.#step = step;
    const { tokensPerMs, anchorMs } = step;
    this.draftedToken = tokensPerMs * cost.draftedTokenMs;
    this.anchor = tokensPerMs * anchorMs;
    this.#contextRow = tokensPerMs * cost.contextRowMs;
    this.#plainMs = cost.rowsMs(step.rows, step.maskRows);
    this.#leastRow = LEAST_ROW * tokensPerMs * this.#plainMs;
    this.#anyMask = tokensPerMs * cost.anyMaskMs;
  }

  proposals(n: number): number {
    const known = this.#proposals[n];
    if (known !== undefined) return known;
    const { tokensPerMs, rows: base, maskRows } = this.#step;
    const estimate = tokensPerMs * (this.#cost.rowsMs(base + n, maskRows) - this.#plainMs);
    const price = Math.max(n * this.#leastRow, estimate);
    this.#proposals[n] = price;
    return price;
  }

  maskRows(n: number, nProposals: number): number {
    if (n === 0) return 0;
    const { tokensPerMs, rows: base } = this.#step;
    const drawn = base + nProposals;
    const ms = this.#cost.rowsMs(drawn, n) - this.#cost.rowsMs(drawn, 0);
    return this.#anyMask + Math.max(n * this.#leastRow, tokensPerMs * ms);
  }

  /** Price of a row's context in a sequence of `position` tokens. */
  contextRow(position: number): number {
    return position * this.#contextRow;
  }

  /** Price of one proposal in a step with the recent number of proposals. */
  get proposal(): number {
    const n = Math.round(this.#step.proposals) + 1;
    return this.proposals(n) / n;
  }

  /** Lowest price per proposal in steps of at most `most` proposals; tries 1 to 4, powers of two, and `most`. */
  leastProposal(most: number): number {
    if (this.#least?.most === most) return this.#least.price;
    let price = this.proposals(most) / most;
    for (let n = 1; n < most; n += n < 4 ? 1 : n) price = Math.min(price, this.proposals(n) / n);
    this.#least = { most, price };
    return price;
  }
}
