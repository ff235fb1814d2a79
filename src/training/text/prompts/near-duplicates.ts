/** Shared part of the shingles of both texts from which on they count as the same. */
const SAME_SHARE = 0.6;
/** Words of a shingle. */
const SHINGLE_WORDS = 3;
/** A shingle of so many texts tells none of them, and comparing with all of them would take quadratic time. */
const MAX_TEXTS_OF_SHINGLE = 500;
/** Words that a text begins with. */
const BEGINNING_WORDS = 5;

/**
 * Texts that differ from each other by more than a few words: the sets of their runs of three words are compared (Broder,
 * "On the resemblance and containment of documents", 1997).
 */
export class NearDuplicates {
  readonly #maxOfBeginning: number;
  /** Number of shingles by text. */
  readonly #sizes: number[] = [];
  readonly #textsOf = new Map<string, number[]>();
  readonly #beginnings = new Map<string, number>();

  /** `maxOfBeginning`: texts that may begin with the same five words. */
  constructor(maxOfBeginning = Number.POSITIVE_INFINITY) {
    this.#maxOfBeginning = maxOfBeginning;
  }

  /** Adds a text and returns true, unless an earlier one is nearly the same. */
  add(text: string): boolean {
    const words = wordsOf(text);
    const beginning = words.slice(0, BEGINNING_WORDS).join(" ");
    const nBefore = this.#beginnings.get(beginning) ?? 0;
    const shingles = shinglesOf(words);
    if (nBefore >= this.#maxOfBeginning || this.#isKnown(shingles)) return false;
    this.#beginnings.set(beginning, nBefore + 1);
    const number = this.#sizes.push(shingles.size) - 1;
    for (const shingle of shingles) {
      const texts = this.#textsOf.get(shingle);
      if (texts === undefined) this.#textsOf.set(shingle, [number]);
      else if (texts.length < MAX_TEXTS_OF_SHINGLE) texts.push(number);
    }
    return true;
  }

  #isKnown(shingles: ReadonlySet<string>): boolean {
    const shared = new Map<number, number>();
    for (const shingle of shingles) {
      for (const text of this.#textsOf.get(shingle) ?? []) shared.set(text, (shared.get(text) ?? 0) + 1);
    }
    for (const [text, n] of shared) {
      if (n >= SAME_SHARE * (shingles.size + (this.#sizes[text] ?? 0) - n)) return true;
    }
    return false;
  }
}

/** Words in lower case, without punctuation. */
export function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}]+(?:['’][\p{L}]+)?/gu) ?? [];
}

/** Shorter texts are a shingle themselves. */
function shinglesOf(words: readonly string[]): Set<string> {
  const shingles = new Set<string>();
  for (let i = 0; i + SHINGLE_WORDS <= words.length; i++) shingles.add(words.slice(i, i + SHINGLE_WORDS).join(" "));
  if (shingles.size === 0) shingles.add(words.join(" "));
  return shingles;
}
