import { type Expression, partsOf } from "./expression.ts";
import { grammarProblem } from "./problem.ts";

/** Most parts of a grammar. A part that is used in several places counts each time. */
const MAX_SIZE = 150_000;
/** Parts that a range of characters counts as, which has several encodings. */
const RANGE_SIZE = 4;

/** Bounds the time to compile a grammar: counts its parts, while it is converted and once more as a whole. */
export class GrammarSize {
  readonly #path: string;
  #size = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** Counts an expression without those inside. @throws IdlmError "usage" if there are too many. */
  add(expression: Expression): void {
    this.addParts(expression.kind === "characters" ? RANGE_SIZE * expression.set.length : 1);
  }

  /** @throws IdlmError "usage" if there are too many. */
  addParts(n: number): void {
    this.#size += n;
    if (this.#size > MAX_SIZE) {
      throw grammarProblem(
        this.#path,
        `it has more than ${MAX_SIZE} parts`,
        "Make it smaller, or name what it repeats.",
      );
    }
  }

  /** Counts an expression with all that is inside. @throws IdlmError "usage" if there are too many. */
  addAll(expression: Expression): void {
    this.add(expression);
    for (const part of partsOf(expression)) this.addAll(part);
  }
}
