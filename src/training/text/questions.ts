import { NearDuplicates, wordsOf } from "./prompts/near-duplicates.ts";

/** Questions that may begin with the same five words ("Can you help me with …"). */
const MAX_OF_BEGINNING = 40;
const MIN_WORDS = 3;

/** Whether a sampled turn of the user can be answered. */
export function isQuestion(text: string): boolean {
  return wordsOf(text).length >= MIN_WORDS;
}

/** Sampled questions. They are compared in the order of requests, whichever is sampled first. */
export class Questions {
  readonly #known = new NearDuplicates(MAX_OF_BEGINNING);
  #last: Promise<unknown> = Promise.resolve();

  /** Takes a question of an earlier run, in order. */
  restore(text: string): void {
    this.#known.add(text);
  }

  /**
   * Takes the next place in the order. The returned function has to be called once: it waits for the questions before,
   * and returns whether this one is new; undefined: there is none.
   */
  reserve(): (text: string | undefined) => Promise<boolean> {
    const before = this.#last;
    let settle = () => {};
    this.#last = new Promise<void>((resolve) => {
      settle = resolve;
    });
    return async (text) => {
      await before;
      const isNew = text !== undefined && this.#known.add(text);
      settle();
      return isNew;
    };
  }
}
