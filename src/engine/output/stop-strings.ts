/** Cuts a stream of text before the first stop string. Text that may become one is held back until that is decided. */
export class StopStrings {
  readonly #stops: readonly string[];
  #held = "";
  #isStopped = false;

  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Text that is sure to be before any stop string. */
  push(text: string): string {
    if (this.#isStopped) return "";
    this.#held += text;
    let cut = -1;
    for (const stop of this.#stops) {
      const at = this.#held.indexOf(stop);
      if (at >= 0 && (cut < 0 || at < cut)) cut = at;
    }
    if (cut >= 0) {
      this.#isStopped = true;
      return this.#take(cut);
    }
    return this.#take(this.#held.length - this.#heldLength());
  }

  /** What was held back: no stop string comes any more. */
  end(): string {
    return this.#isStopped ? "" : this.#take(this.#held.length);
  }

  #take(length: number): string {
    const text = this.#held.slice(0, length);
    this.#held = this.#held.slice(length);
    return text;
  }

  /** Length of the longest end of the text with which a stop string begins. */
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
