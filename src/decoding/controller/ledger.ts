/** Share of plain decoding's tokens that may be lost on proposals in vain. */
const SHARE = 0.01;
/** Tokens lost before proposing pauses, beyond that share and what chance explains. */
const MOST_LOST = 0.25;
/** What counts as chance, in standard deviations of the rounds' recent gain, and its EMA window (rounds). */
const DEVIATIONS = 2;
const WINDOW = 32;

/**
 * Whether proposing pays for one sequence: the recent gain beyond plain decoding's token, against the cost of proposing and of
 * the proposals' rows. Where it does not, proposing pauses until the share has made up for what was lost: planning a round that
 * stays plain takes time from every sequence of a batch.
 */
export class Ledger {
  #net = 0;
  #variance = 0;
  #isPaused = false;

  /** `isPromising`: a proposer is likely to have candidates; then proposing may spend what the share has brought in meanwhile. */
  shouldPropose(isPromising: boolean): boolean {
    return !this.#isPaused || (isPromising && this.#net > -MOST_LOST);
  }

  /** A round without proposing. */
  skip(): void {
    this.#net += SHARE;
    if (this.#net >= 0) this.#isPaused = false;
  }

  /** A round for which proposers were asked, in tokens: accepted proposals, as many as expected, and the price of it all. */
  add(gained: number, expected: number, price: number): void {
    this.#variance += (gained - expected) ** 2 - this.#variance / WINDOW;
    const bound = MOST_LOST + DEVIATIONS * Math.sqrt(this.#variance);
    this.#net = Math.min(this.#net + SHARE + gained - price, bound);
    if (this.#net >= 0) this.#isPaused = false;
    if (this.#isPaused || this.#net > -bound) return;
    this.#isPaused = true;
    // Losses by chance are forgiven.
    this.#net = -MOST_LOST;
    this.#variance = 0;
  }
}
