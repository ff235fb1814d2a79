/** Share of plain decoding's tokens that may be lost on rejected proposals. */
const SHARE = 0.01;
/** Tokens lost, beyond that share and random variation, before proposing pauses. */
const MOST_LOST = 0.25;
/** Random variation in standard deviations of the rounds' recent gain, and the EMA window of its variance (rounds). */
const DEVIATIONS = 2;
const WINDOW = 32;

/**
 * Balances, for one sequence, the accepted proposals against the price of proposing and of the proposals' rows. If the balance
 * is too low, proposing pauses until the allowed share has covered the loss: planning a round that stays plain takes time from
 * every sequence of a batch.
 */
export class Ledger {
  #net = 0;
  #variance = 0;
  #isPaused = false;

  get shouldPropose(): boolean {
    return !this.#isPaused;
  }

  /** Records a round without proposing. */
  skip(): void {
    this.#net += SHARE;
    if (this.#net >= 0) this.#isPaused = false;
  }

  /** Records a round with proposing, in tokens: accepted proposals, their expected number, and the total price. */
  add(gained: number, expected: number, price: number): void {
    this.#variance += (gained - expected) ** 2 - this.#variance / WINDOW;
    const bound = MOST_LOST + DEVIATIONS * Math.sqrt(this.#variance);
    this.#net = Math.min(this.#net + SHARE + gained - price, bound);
    if (this.#net >= 0) this.#isPaused = false;
    if (this.#isPaused || this.#net > -bound) return;
    this.#isPaused = true;
    // The part of the loss that random variation explains is cancelled.
    this.#net = -MOST_LOST;
    this.#variance = 0;
  }
}
