import type { CostModel, StepWork } from "./cost-model.ts";

/** What the machine does beside a sequence's own rows. */
export interface Surroundings {
  /** Tokens that the machine writes in a millisecond, decoding as it has lately: what time is worth. */
  readonly tokensPerMs: number;
  /** Rows of the other sequences of a step. */
  readonly otherDrawnRows: number;
  readonly otherMaskRows: number;
  /** MASK rows that a sequence has had lately: proposals are computed beside them. */
  readonly ownMaskRows: number;
  /** Tokens that the other sequences' MASK rows are worth beyond their own price, which pay for the adapter's bytes. */
  readonly othersSurplus: number;
  /** Deviations by which prices are below what is believed: what is not known is tried, and then known. */
  readonly optimism: number;
}

/** Rows that a price is known of. */
export const MAX_PRICED = 24;
/** A row is never believed to be quite free, in times of a step. */
const LEAST_ROW = 0.001;

/** What rows cost, in tokens: those that the machine would write in the time that they take. */
export class Prices {
  /** What the first MASK row of a step costs more than the others: the adapter's bytes. */
  readonly anyMask: number;
  readonly draftedToken: number;
  readonly othersSurplus: number;
  readonly #cost: CostModel;
  readonly #around: Surroundings;
  readonly #leastRow: number;
  readonly #maskDoubt: number;
  readonly #plainMs: number;
  /** Of 0, 1 … proposals, as far as somebody asked. */
  readonly #proposals: number[] = [0];
  readonly #contextRow: number;

  constructor(cost: CostModel, around: Surroundings) {
    this.#cost = cost;
    this.#around = around;
    const { tokensPerMs, otherDrawnRows, otherMaskRows, ownMaskRows } = around;
    const drawn = otherDrawnRows + 1;
    const masks = otherMaskRows + ownMaskRows;
    this.draftedToken = tokensPerMs * cost.draftedTokenMs;
    this.othersSurplus = around.othersSurplus;
    this.#contextRow = tokensPerMs * cost.contextRowMs;
    this.#plainMs = cost.rowsMs(drawn, masks);
    this.anyMask = Math.max(0, tokensPerMs * cost.anyMaskMs - this.#doubt(rows(drawn, 0), rows(drawn, 1)));
    this.#maskDoubt = this.#doubt(rows(drawn, masks + 1), rows(drawn, masks + 2));
    this.#leastRow = LEAST_ROW * tokensPerMs * this.#plainMs;
  }

  /** Of n proposals of a sequence that is `position` tokens long. */
  proposals(n: number, position: number): number {
    if (n > MAX_PRICED) return Number.POSITIVE_INFINITY;
    return this.#ofRows(n) + n * position * this.#contextRow;
  }

  /** Of n MASK rows beside `nProposals` proposals, without the adapter's bytes. */
  maskRows(n: number, nProposals: number, position: number): number {
    const { tokensPerMs, otherDrawnRows, otherMaskRows } = this.#around;
    const drawn = otherDrawnRows + 1 + nProposals;
    const ms = this.#cost.rowsMs(drawn, otherMaskRows + n) - this.#cost.rowsMs(drawn, otherMaskRows);
    return Math.max(n * this.#leastRow, tokensPerMs * ms - n * this.#maskDoubt) + n * position * this.#contextRow;
  }

  /** The least that one of at most `most` proposals can cost. */
  leastProposal(most: number, position: number): number {
    let least = Number.POSITIVE_INFINITY;
    for (let n = 1; n <= most; n++) least = Math.min(least, this.#ofRows(n) / n);
    return least + position * this.#contextRow;
  }

  /** Of n proposals, their context left out. */
  #ofRows(n: number): number {
    const { tokensPerMs, otherDrawnRows, otherMaskRows, ownMaskRows } = this.#around;
    const drawn = otherDrawnRows + 1;
    const masks = otherMaskRows + ownMaskRows;
    for (let i = this.#proposals.length; i <= n; i++) {
      const believed = tokensPerMs * (this.#cost.rowsMs(drawn + i, masks) - this.#plainMs);
      const price = believed - this.#doubt(rows(drawn, masks + 1), rows(drawn + i, masks + 1));
      // Whatever noise has made of them: more rows never cost less.
      this.#proposals.push(Math.max((this.#proposals[i - 1] ?? 0) + this.#leastRow, price));
    }
    return this.#proposals[n] ?? 0;
  }

  /** By how much what is not known may make the second of two steps cheaper. */
  #doubt(a: StepWork, b: StepWork): number {
    const { optimism, tokensPerMs } = this.#around;
    return optimism === 0 ? 0 : optimism * tokensPerMs * this.#cost.deviationMs(a, b);
  }
}

function rows(drawnRows: number, maskRows: number): StepWork {
  return { drawnRows, maskRows, otherRows: 0, contextRows: 0, draftedTokens: 0 };
}
