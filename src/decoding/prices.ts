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
  /** Of 0, 1 … proposals. */
  readonly #proposals: readonly number[];
  readonly #contextRow: number;

  constructor(cost: CostModel, around: Surroundings) {
    this.#cost = cost;
    this.#around = around;
    const { tokensPerMs, otherDrawnRows, otherMaskRows, ownMaskRows, optimism } = around;
    const work = (drawnRows: number, maskRows: number) => {
      return { drawnRows, maskRows, otherRows: 0, contextRows: 0, draftedTokens: 0 };
    };
    const doubt = (a: StepWork, b: StepWork) => optimism * tokensPerMs * cost.deviationMs(a, b);
    this.draftedToken = tokensPerMs * cost.draftedTokenMs;
    this.othersSurplus = around.othersSurplus;
    this.#contextRow = tokensPerMs * cost.contextRowMs;
    const drawn = otherDrawnRows + 1;
    const masks = otherMaskRows + ownMaskRows;
    const plain = cost.rowsMs(drawn, masks);
    const plainWork = work(drawn, masks + 1);
    this.anyMask = Math.max(0, tokensPerMs * cost.anyMaskMs - doubt(work(drawn, 0), work(drawn, 1)));
    this.#maskDoubt = doubt(plainWork, work(drawn, masks + 2));
    this.#leastRow = LEAST_ROW * tokensPerMs * plain;
    const prices = [0];
    for (let n = 1; n <= MAX_PRICED; n++) {
      const believed = tokensPerMs * (cost.rowsMs(drawn + n, masks) - plain);
      const price = believed - doubt(plainWork, work(drawn + n, masks + 1));
      // Whatever noise has made of them: more rows never cost less.
      prices.push(Math.max((prices[n - 1] ?? 0) + this.#leastRow, price));
    }
    this.#proposals = prices;
  }

  /** Of n proposals of a sequence that is `position` tokens long. */
  proposals(n: number, position: number): number {
    return (this.#proposals[n] ?? Number.POSITIVE_INFINITY) + n * position * this.#contextRow;
  }

  /** Of n MASK rows beside `nProposals` proposals, without the adapter's bytes. */
  maskRows(n: number, nProposals: number, position: number): number {
    const { tokensPerMs, otherDrawnRows, otherMaskRows } = this.#around;
    const drawn = otherDrawnRows + 1 + nProposals;
    const ms = this.#cost.rowsMs(drawn, otherMaskRows + n) - this.#cost.rowsMs(drawn, otherMaskRows);
    return Math.max(n * this.#leastRow, tokensPerMs * ms - n * this.#maskDoubt) + n * position * this.#contextRow;
  }

  /** The least that a proposal can cost. */
  leastProposal(position: number): number {
    const [, ...prices] = this.#proposals;
    return Math.min(...prices.map((price, i) => price / (i + 1))) + position * this.#contextRow;
  }
}
