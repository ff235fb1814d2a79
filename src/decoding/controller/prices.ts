import type { CostModel, StepWork } from "./cost-model.ts";
import type { StepPrices } from "./joint-choice.ts";

/** The rest of a step, beside the rows that are priced. */
export interface Surroundings {
  /** Tokens generated per millisecond recently: what time is worth. */
  readonly tokensPerMs: number;
  /** Rows in any case: a pending token of each sequence, and rows that are not chosen here. */
  readonly rows: number;
  /** Recent MASK rows of a step: proposals are computed beside them. */
  readonly maskRows: number;
  /** Recent proposals of a step. */
  readonly proposals: number;
  /** Milliseconds of proposing at an anchor. */
  readonly anchorMs: number;
  /** Standard deviations by which prices are below their estimates, so that what is unknown is tried. */
  readonly optimism: number;
}

/** Least price of a row, in plain steps. */
const LEAST_ROW = 0.001;

/** Prices of rows, in tokens: those that would be generated in the time that the rows take. */
export class Prices implements StepPrices {
  /** Price of a step's first MASK row above that of the others: the adapter's bytes. */
  readonly #anyMask: number;
  readonly draftedToken: number;
  /** Of proposing at an anchor. */
  readonly anchor: number;
  readonly #cost: CostModel;
  readonly #around: Surroundings;
  readonly #leastRow: number;
  readonly #maskDoubt: number;
  readonly #contextRow: number;
  readonly #plainMs: number;
  /** Of n proposals, where computed. */
  readonly #proposals: (number | undefined)[] = [0];
  #least: { readonly most: number; readonly price: number } | undefined;

  constructor(cost: CostModel, around: Surroundings) {
    this.#cost = cost;
    this.#around = around;
    const { tokensPerMs, anchorMs } = around;
    this.draftedToken = tokensPerMs * cost.draftedTokenMs;
    this.anchor = tokensPerMs * anchorMs;
    this.#contextRow = tokensPerMs * cost.contextRowMs;
    this.#plainMs = cost.rowsMs(around.rows, around.maskRows);
    this.#leastRow = LEAST_ROW * tokensPerMs * this.#plainMs;
    this.#anyMask = Math.max(0, tokensPerMs * cost.anyMaskMs - this.#doubt(rows(around.rows, 0), rows(around.rows, 1)));
    this.#maskDoubt = this.#doubt(rows(around.rows, 1), rows(around.rows, 2));
  }

  proposals(n: number): number {
    const known = this.#proposals[n];
    if (known !== undefined) return known;
    const { tokensPerMs, rows: base, maskRows } = this.#around;
    const estimate = tokensPerMs * (this.#cost.rowsMs(base + n, maskRows) - this.#plainMs);
    const price = Math.max(n * this.#leastRow, estimate - this.#doubt(rows(base, maskRows), rows(base + n, maskRows)));
    this.#proposals[n] = price;
    return price;
  }

  maskRows(n: number, nProposals: number): number {
    if (n === 0) return 0;
    const { tokensPerMs, rows: base } = this.#around;
    const drawn = base + nProposals;
    const ms = this.#cost.rowsMs(drawn, n) - this.#cost.rowsMs(drawn, 0);
    return this.#anyMask + Math.max(n * this.#leastRow, tokensPerMs * ms - n * this.#maskDoubt);
  }

  /** Of a row's context in a sequence of `position` tokens. */
  contextRow(position: number): number {
    return position * this.#contextRow;
  }

  /** Of a proposal among as many as recently. */
  get proposal(): number {
    const n = Math.round(this.#around.proposals) + 1;
    return this.proposals(n) / n;
  }

  /** Lowest price of one of at most `most` proposals: of few, of doubling numbers, or of all. */
  leastProposal(most: number): number {
    if (this.#least?.most === most) return this.#least.price;
    let price = this.proposals(most) / most;
    for (let n = 1; n < most; n += n < 4 ? 1 : n) price = Math.min(price, this.proposals(n) / n);
    this.#least = { most, price };
    return price;
  }

  /** By how much the second of two steps may be cheaper, within what is unknown. */
  #doubt(a: StepWork, b: StepWork): number {
    const { optimism, tokensPerMs } = this.#around;
    return optimism === 0 ? 0 : optimism * tokensPerMs * this.#cost.deviationMs(a, b);
  }
}

function rows(drawnRows: number, maskRows: number): StepWork {
  return { drawnRows, maskRows, otherRows: 0, contextRows: 0, draftedTokens: 0 };
}
