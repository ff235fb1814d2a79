import type { Budget } from "./budget.ts";
import { LimitExceeded } from "./errors.ts";
import { MAX_LENGTH } from "./budget.ts";

/** Text that a template writes. */
export class Output {
  readonly #parts: string[] = [];
  readonly #budget: Budget;
  #length = 0;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  /** @throws LimitExceeded. */
  write(text: string): void {
    this.#length += text.length;
    if (this.#length > MAX_LENGTH) {
      throw new LimitExceeded(`the result has more than ${MAX_LENGTH} characters`);
    }
    this.#budget.spend(text.length);
    this.#parts.push(text);
  }

  get text(): string {
    return this.#parts.join("");
  }
}
