/** Share of plain decoding's tokens that may be lost by asking in vain. */
const SHARE = 0.01;
/** Tokens that are lost before asking rests, beyond that share and what chance explains. */
const MOST_LOST = 0.25;
/** Chance, in standard deviations of what the rounds lately gained, and rounds after which one counts 1/e. */
const DEVIATIONS = 2;
const MEMORY = 32;

/**
 * Whether asking proposers pays for one text: what they gained lately beyond plain decoding's token, against what their rows
 * and the asking itself cost. Where it does not, nobody is asked until the share makes good what was lost: a round that stays
 * plain was planned for nothing, and in a batch that is time that every text loses.
 */
export class Ledger {
  #net = 0;
  #variance = 0;
  #isResting = false;

  /** `isPromising`: somebody is likely to have something; then asking may spend what the share has brought in meanwhile. */
  mayAsk(isPromising: boolean): boolean {
    return !this.#isResting || (isPromising && this.#net > -MOST_LOST);
  }

  /** A round has gone by without asking. */
  pass(): void {
    this.#net += SHARE;
    if (this.#net >= 0) this.#isResting = false;
  }

  /** A round for which proposers were asked, in tokens: what stood, what was expected to, and the price of everything. */
  add(gained: number, expected: number, price: number): void {
    this.#variance += (gained - expected) ** 2 - this.#variance / MEMORY;
    const bound = MOST_LOST + DEVIATIONS * Math.sqrt(this.#variance);
    this.#net = Math.min(this.#net + SHARE + gained - price, bound);
    if (this.#net >= 0) this.#isResting = false;
    if (this.#isResting || this.#net > -bound) return;
    this.#isResting = true;
    // What chance explains is no debt.
    this.#net = -MOST_LOST;
    this.#variance = 0;
  }
}
