/** Cuts streamed text before the first stop string. Holds back text that may be the start of one. */
export class StopStrings {
  readonly #stops: readonly string[];
  #held = "";
  #matched: string | undefined;

  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  get isStopped(): boolean {
    return this.#matched !== undefined;
  }

  /** The first stop string in the text. */
  get matched(): string | undefined {
    return this.#matched;
  }

  /** Text that is certainly before any stop string. */
  push(text: string): string {
    if (this.isStopped) return "";
    this.#held += text;
    let cut = -1;
    for (const stop of this.#stops) {
      const at = this.#held.indexOf(stop);
      if (at < 0 || (cut >= 0 && at >= cut)) continue;
      cut = at;
      this.#matched = stop;
    }
    if (cut >= 0) return this.#take(cut);
    return this.#take(this.#held.length - this.#heldLength());
  }

  /** The text held back: no more will come. */
  end(): string {
    return this.isStopped ? "" : this.#take(this.#held.length);
  }

  #take(length: number): string {
    const text = this.#held.slice(0, length);
    this.#held = this.#held.slice(length);
    return text;
  }

  /** Length of the longest suffix that is a prefix of a stop string. */
  #heldLength(): number {
    let longest = 0;
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, this.#held.length); length > longest; length--) {
        if (this.#held.endsWith(stop.slice(0, length))) longest = length;
      }
    }
    return longest;
  }
}
