import { Random, Stream } from "../random.ts";

/** The endless series of epochs: each visits all rows, in an order of its own. A function of seed, number of rows and place. */
export class EpochOrder {
  readonly #seed: number;
  readonly #nRows: number;
  readonly #maxKept: number;
  readonly #orders = new Map<number, readonly number[]>();

  /** `maxKept`: epochs whose order is kept, those begun last; at least as many as are read by turns. */
  constructor(seed: number, nRows: number, maxKept: number) {
    this.#seed = seed;
    this.#nRows = nRows;
    this.#maxKept = maxKept;
  }

  /** The row at a place of the series, counted from 0. */
  rowAt(place: number): number {
    const epoch = Math.floor(place / this.#nRows);
    let rows = this.#orders.get(epoch);
    if (rows === undefined) {
      rows = new Random(this.#seed, Stream.order, epoch).permutation(this.#nRows);
      this.#orders.set(epoch, rows);
      for (const begun of this.#orders.keys()) if (this.#orders.size > this.#maxKept) this.#orders.delete(begun);
    }
    return rows[place % this.#nRows] as number;
  }
}
