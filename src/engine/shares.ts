/**
 * What shares were served, in tokens: fair sharing gives to whoever got least. A share that comes anew starts where the
 * least served of the others stands, so that an absence earns nothing (start-time fair queueing, Goyal et al. 1996).
 */
export class Shares {
  readonly #served = new Map<string, number>();
  /** Requests of each share that are not done. */
  readonly #active = new Map<string, number>();

  enter(share: string): void {
    const n = this.#active.get(share) ?? 0;
    if (n === 0) {
      const floor = this.#least();
      this.#served.set(share, Math.max(floor, this.#served.get(share) ?? 0));
    }
    this.#active.set(share, n + 1);
  }

  leave(share: string): void {
    const n = this.#active.get(share) ?? 0;
    if (n > 1) {
      this.#active.set(share, n - 1);
      return;
    }
    this.#active.delete(share);
    // Debts are remembered as long as anybody is there to whom they are owed.
    if (this.#active.size === 0) this.#served.clear();
    else {
      const floor = this.#least();
      for (const [other, served] of this.#served) {
        if (!this.#active.has(other) && served <= floor) this.#served.delete(other);
      }
    }
  }

  serve(share: string, nTokens: number): void {
    this.#served.set(share, (this.#served.get(share) ?? 0) + nTokens);
  }

  served(share: string): number {
    return this.#served.get(share) ?? 0;
  }

  /** Of the shares that have requests. */
  #least(): number {
    let least = Number.POSITIVE_INFINITY;
    for (const share of this.#active.keys()) least = Math.min(least, this.#served.get(share) ?? 0);
    return least === Number.POSITIVE_INFINITY ? 0 : least;
  }
}
