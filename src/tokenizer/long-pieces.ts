import FlatQueue from "flatqueue";
import type { TokenizerJson } from "../formats/files/tokenizer-json.ts";

/** `@huggingface/tokenizers` caches the tokens of pieces shorter than this. */
export const LONG_PIECE = 256;

/** Ranks are below the number of merges, so that a rank combined with a position is exact in a double. */
const MAX_POSITIONS = 2 ** 30;

/**
 * BPE of one piece of any length, with the usual rule: merge the pair of lowest rank, the leftmost first. It takes
 * O(n log n) steps over flat arrays; `@huggingface/tokenizers` (0.2.0) creates objects and a JSON string per pair, and
 * takes 20 seconds for a million characters without a break.
 */
export class LongPieceMerger {
  readonly #vocab: Readonly<Record<string, number>>;
  readonly #stride: number;
  /** Rank of the merge of two ids, by `left * stride + right`. */
  readonly #ranks = new Map<number, number>();
  /** Resulting id of each merge, by rank. */
  readonly #merged: Int32Array;

  constructor({ vocab, merges }: TokenizerJson["model"]) {
    this.#vocab = vocab;
    this.#stride = 1 + Object.values(vocab).reduce((a, b) => Math.max(a, b), 0);
    this.#merged = new Int32Array(merges.length);
    merges.forEach((merge, rank) => {
      const [left = "", right = ""] = typeof merge === "string" ? merge.split(" ", 2) : merge;
      this.#ranks.set(this.#pair(this.#idOf(left), this.#idOf(right)), rank);
      this.#merged[rank] = this.#idOf(left + right);
    });
  }

  /** Token ids of a piece; `fallback` gives those of a character that is not a token. */
  merge(piece: string, fallback: (character: string) => readonly number[]): number[] {
    const characters = Array.from(piece);
    const n = characters.length;
    // A linked list of symbols by position; a merged symbol keeps the position of its first part.
    const ids = Int32Array.from(characters, (character) => this.#idOf(character));
    const next = Int32Array.from({ length: n }, (_, i) => i + 1);
    const previous = Int32Array.from({ length: n }, (_, i) => i - 1);
    /** Rank of each symbol with the next one, -1 for none. A queue entry with another rank is stale. */
    const ranks = new Int32Array(n).fill(-1);
    // Each merge adds at most two entries, and there are fewer merges than characters.
    const queue = new FlatQueue<number>(3 * n);
    const enqueue = (position: number) => {
      const right = next[position] as number;
      const rank = right < n ? this.#rankOf(ids[position] as number, ids[right] as number) : -1;
      ranks[position] = rank;
      if (rank >= 0) queue.push(position, rank * MAX_POSITIONS + position);
    };
    for (let position = 0; position < n; position++) enqueue(position);
    for (;;) {
      const key = queue.peekValue();
      const position = queue.pop();
      if (key === undefined || position === undefined) break;
      const rank = ranks[position] as number;
      if (rank < 0 || rank * MAX_POSITIONS + position !== key) continue;
      const right = next[position] as number;
      const after = next[right] as number;
      ids[position] = this.#merged[rank] as number;
      ranks[right] = -1;
      next[position] = after;
      if (after < n) previous[after] = position;
      const before = previous[position] as number;
      if (before >= 0) enqueue(before);
      enqueue(position);
    }
    const result: number[] = [];
    const known = new Map<string, readonly number[]>();
    for (let position = 0; position < n; position = next[position] as number) {
      const id = ids[position] as number;
      if (id >= 0) {
        result.push(id);
        continue;
      }
      const character = characters[position] as string;
      const others = known.get(character) ?? fallback(character);
      known.set(character, others);
      result.push(...others);
    }
    return result;
  }

  #idOf(token: string): number {
    return Object.hasOwn(this.#vocab, token) ? (this.#vocab[token] as number) : -1;
  }

  #pair(left: number, right: number): number {
    return left * this.#stride + right;
  }

  #rankOf(left: number, right: number): number {
    return left < 0 || right < 0 ? -1 : (this.#ranks.get(this.#pair(left, right)) ?? -1);
  }
}
