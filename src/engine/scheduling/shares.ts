/**
 * Tokens served to each share of a model, for fair sharing: the least served comes first. No share counts as served
 * less than the floor, which is the least of those that competed last and never decreases. So an absent share earns no
 * credit, and one that does not compete delays none (start-time fair queueing, Goyal et al. 1996).
 */
export class Shares {
  /** Only of shares above the floor. */
  readonly #served = new Map<string, number>();
  #floor = 0;

  /** Shares above the floor, for tests. */
  get size(): number {
    return this.#served.size;
  }

  served(share: string): number {
    return this.#served.get(share) ?? this.#floor;
  }

  serve(share: string, nTokens: number): void {
    if (nTokens > 0) this.#served.set(share, this.served(share) + nTokens);
  }

  /** Raises the floor to the least of these shares, which have sequences that can run. At least one. */
  compete(shares: Iterable<string>): void {
    let smallest = Number.POSITIVE_INFINITY;
    for (const share of shares) smallest = Math.min(smallest, this.served(share));
    if (smallest === this.#floor) return;
    this.#floor = smallest;
    for (const [share, served] of this.#served) {
      if (served <= smallest) this.#served.delete(share);
    }
  }

  /** Forgets all shares, when no sequence is left. */
  clear(): void {
    this.#served.clear();
    this.#floor = 0;
  }
}
