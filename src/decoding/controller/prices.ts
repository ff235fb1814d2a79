import type { CostModel, StepWork } from "./cost-model.ts";
import type { StepPrices } from "./joint-choice.ts";

/** What a step is made of beside the rows that are priced. */
export interface Surroundings {
  /** Tokens that the machine writes in a millisecond, decoding as it has lately: what time is worth. */
  readonly tokensPerMs: number;
  /** Rows that are there in any case: a pending token of each sequence, and what is not chosen. */
  readonly rows: number;
  /** MASK rows that a step has had lately: proposals are computed beside them. */
  readonly maskRows: number;
  /** Proposals that a step has had lately. */
  readonly proposals: number;
  /** Milliseconds that asking all proposers at an anchor takes. */
  readonly askingMs: number;
  /** Deviations by which prices are below what is believed: what is not known is tried, and then known. */
  readonly optimism: number;
}

/** A row is never believed to be quite free, in times of a step. */
const LEAST_ROW = 0.001;

/** What rows of a step cost, in tokens: those that the machine would write in the time that they take. */
export class Prices implements StepPrices {
  /** What the first MASK row of a step costs more than the others: the adapter's bytes. */
  readonly #anyMask: number;
  readonly draftedToken: number;
  /** Of asking all proposers at an anchor. */
  readonly asking: number;
  readonly #cost: CostModel;
  readonly #around: Surroundings;
  readonly #leastRow: number;
  readonly #maskDoubt: number;
  readonly #contextRow: number;
  readonly #plainMs: number;
  /** Of n proposals, where somebody asked. */
  readonly #proposals: (number | undefined)[] = [0];
  #least: { readonly most: number; readonly price: number } | undefined;

  constructor(cost: CostModel, around: Surroundings) {
    this.#cost = cost;
    this.#around = around;
    const { tokensPerMs, askingMs } = around;
    this.draftedToken = tokensPerMs * cost.draftedTokenMs;
    this.asking = tokensPerMs * askingMs;
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
    const believed = tokensPerMs * (this.#cost.rowsMs(base + n, maskRows) - this.#plainMs);
    const price = Math.max(n * this.#leastRow, believed - this.#doubt(rows(base, maskRows), rows(base + n, maskRows)));
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

  /** Of a row's context, where its sequence is `position` tokens long. */
  contextRow(position: number): number {
    return position * this.#contextRow;
  }

  /** Of a proposal among as many as there have been lately. */
  get proposal(): number {
    const n = Math.round(this.#around.proposals) + 1;
    return this.proposals(n) / n;
  }

  /** The least that one of at most `most` proposals can cost: of few, of as many as double until then, or of all. */
  leastProposal(most: number): number {
    if (this.#least?.most === most) return this.#least.price;
    let price = this.proposals(most) / most;
    for (let n = 1; n < most; n += n < 4 ? 1 : n) price = Math.min(price, this.proposals(n) / n);
    this.#least = { most, price };
    return price;
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
