import { StopStrings } from "./stop-strings.ts";
import type { TextStream, TextTokenizer } from "../types.ts";

/** Decodes tokens one by one, up to the first stop string. */
export class IncrementalDetokenizer {
  readonly #stream: TextStream | undefined;
  readonly #stops: StopStrings;
  #text = "";
  #nTaken = 0;

  constructor(tokenizer: TextTokenizer | undefined, stops: readonly string[]) {
    this.#stream = tokenizer?.stream();
    this.#stops = new StopStrings(stops);
  }

  get text(): string {
    return this.#text;
  }

  /** The stop string that ended the text. */
  get stopString(): string | undefined {
    return this.#stops.matched;
  }

  /** True: a stop string is complete. */
  push(token: number): boolean {
    if (this.#stream !== undefined) this.#text += this.#stops.push(this.#stream.push(token));
    return this.#stops.isStopped;
  }

  /** Appends the text held back. */
  end(): void {
    if (this.#stops.isStopped || this.#stream === undefined) return;
    this.#text += this.#stops.push(this.#stream.end());
    this.#text += this.#stops.end();
  }

  takeNew(): string {
    const text = this.#text.slice(this.#nTaken);
    this.#nTaken = this.#text.length;
    return text;
  }
}
