import { StopStrings } from "./stop-strings.ts";
import type { TextStream, TextTokenizer } from "../types.ts";

/** Turns tokens into text as they come, up to the first stop string. */
export class TextWriter {
  readonly #stream: TextStream | undefined;
  readonly #stops: StopStrings;
  #text = "";
  #isNew = 0;

  constructor(tokenizer: TextTokenizer | undefined, stops: readonly string[]) {
    this.#stream = tokenizer?.stream();
    this.#stops = new StopStrings(stops);
  }

  /** All text so far. */
  get text(): string {
    return this.#text;
  }

  /** True: the text ends here. */
  push(token: number): boolean {
    if (this.#stream !== undefined) this.#text += this.#stops.push(this.#stream.push(token));
    return this.#stops.isStopped;
  }

  /** What was held back. */
  end(): void {
    if (this.#stops.isStopped || this.#stream === undefined) return;
    this.#text += this.#stops.push(this.#stream.end());
    this.#text += this.#stops.end();
  }

  /** Text since the last call. */
  takeNew(): string {
    const text = this.#text.slice(this.#isNew);
    this.#isNew = this.#text.length;
    return text;
  }
}
