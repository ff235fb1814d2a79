import { mergePairs } from "./merge-pairs.ts";

const encoder = new TextEncoder();

/** The part of a GGUF vocabulary that SentencePiece's merging needs. */
export interface ScoredTokens {
  readonly tokens: readonly string[];
  /** By id. */
  readonly scores: ArrayLike<number>;
  /** Stands for a character without a token, whose bytes have none either. */
  readonly unknownId: number | undefined;
}

/**
 * SentencePiece's BPE as llama.cpp does it: of two neighbours that together are a token, those of the highest score are
 * merged first, and of several the leftmost. Neighbours need not be tokens themselves. It takes O(n log n) steps.
 */
export class SentencePieceMerger {
  readonly #ids: ReadonlyMap<string, number>;
  /** By id: a place in the order of scores; equal scores share one. */
  readonly #ranks: Int32Array;
  readonly #longest: number;
  readonly #unknownId: number | undefined;
  readonly #byteIds: readonly (number | undefined)[];

  constructor({ tokens, scores, unknownId }: ScoredTokens) {
    this.#ids = new Map(tokens.map((token, id) => [token, id]));
    this.#longest = tokens.reduce((longest, { length }) => Math.max(longest, length), 0);
    const score = (id: number) => scores[id] ?? 0;
    const order = Int32Array.from(tokens, (_, id) => id).sort((a, b) => score(b) - score(a));
    this.#ranks = new Int32Array(tokens.length);
    for (let i = 1; i < order.length; i++) {
      const [id, before] = [order[i] ?? 0, order[i - 1] ?? 0];
      this.#ranks[id] = (this.#ranks[before] ?? 0) + (score(id) < score(before) ? 1 : 0);
    }
    this.#unknownId = unknownId;
    const name = (byte: number) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
    this.#byteIds = Array.from({ length: 256 }, (_, byte) => this.#ids.get(name(byte)));
  }

  /** Ids of a normalised text. */
  encode(text: string): number[] {
    const characters = Array.from(text);
    const n = characters.length;
    const starts = new Int32Array(n + 1);
    for (const [i, character] of characters.entries()) starts[i + 1] = (starts[i] ?? 0) + character.length;
    const symbol = (from: number, end: number) => text.slice(starts[from], starts[end]);
    const next = mergePairs(n, { rankOf: (left, _, end) => this.#rankOf(symbol, left, end) });
    const ids: number[] = [];
    for (let position = 0, isUnknown = false; position < n; position = next[position] as number) {
      const piece = symbol(position, next[position] as number);
      const found = this.#idsOf(piece);
      if (found !== undefined) ids.push(...found);
      else if (!isUnknown && this.#unknownId !== undefined) ids.push(this.#unknownId);
      isUnknown = found === undefined;
    }
    return ids;
  }

  #rankOf(symbol: (from: number, end: number) => string, from: number, end: number): number {
    // No token has more characters than UTF-16 units.
    if (end - from > this.#longest) return -1;
    const id = this.#ids.get(symbol(from, end));
    return id === undefined ? -1 : (this.#ranks[id] as number);
  }

  /** A token, or those of its bytes; undefined if one is missing. */
  #idsOf(piece: string): readonly number[] | undefined {
    const id = this.#ids.get(piece);
    if (id !== undefined) return [id];
    const bytes = Array.from(encoder.encode(piece), (byte) => this.#byteIds[byte]);
    return bytes.every((byte) => byte !== undefined) ? bytes : undefined;
  }
}
