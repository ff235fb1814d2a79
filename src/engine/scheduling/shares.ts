/**
 * What shares were served, in tokens: fair sharing gives to whoever got least. Nobody counts as served less than the floor,
 * the least of those that competed last, which never goes back: so an absence earns nothing, and a share that does not
 * compete holds nobody back (start-time fair queueing, Goyal et al. 1996).
 */
export class Shares {
  /** Of those above the floor. */
  readonly #served = new Map<string, number>();
  #floor = 0;

  /** Shares that are remembered, for tests. */
  get size(): number {
    return this.#served.size;
  }

  served(share: string): number {
    return this.#served.get(share) ?? this.#floor;
  }

  serve(share: string, nTokens: number): void {
    if (nTokens > 0) this.#served.set(share, this.served(share) + nTokens);
  }

  /** These compete now, one at least. */
  compete(shares: Iterable<string>): void {
    let least = Number.POSITIVE_INFINITY;
    for (const share of shares) least = Math.min(least, this.served(share));
    if (least === this.#floor) return;
    this.#floor = least;
    for (const [share, served] of this.#served) {
      if (served <= least) this.#served.delete(share);
    }
  }

  /** Nobody is there to whom anything is owed. */
  clear(): void {
    this.#served.clear();
    this.#floor = 0;
  }
}
