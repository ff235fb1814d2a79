import FlatQueue from "flatqueue";
import type { TokenizerJson } from "../formats/files/tokenizer-json.ts";

/** Of pieces shorter than this `@huggingface/tokenizers` keeps the tokens for the next time. */
export const LONG_PIECE = 256;

/** Ranks are below the number of merges; a pair of ids and a rank with a place are exact in a double. */
const PLACES = 2 ** 30;

/**
 * BPE of one piece of any length, by the same rule as everywhere: of all pairs that merge, the one of the lowest rank,
 * the first of equals. In n log n steps over flat arrays: `@huggingface/tokenizers` (0.2.0) makes objects and a JSON
 * text per pair, and takes 20 seconds for a million characters without a break.
 */
export class LongPieceMerger {
  readonly #vocab: Readonly<Record<string, number>>;
  readonly #stride: number;
  /** Of ids `left * stride + right`: the merge's rank. */
  readonly #ranks = new Map<number, number>();
  /** The id that each rank's merge makes. */
  readonly #made: Int32Array;

  constructor({ vocab, merges }: TokenizerJson["model"]) {
    this.#vocab = vocab;
    this.#stride = 1 + Object.values(vocab).reduce((a, b) => Math.max(a, b), 0);
    this.#made = new Int32Array(merges.length);
    merges.forEach((merge, rank) => {
      const [left = "", right = ""] = typeof merge === "string" ? merge.split(" ", 2) : merge;
      this.#ranks.set(this.#pair(this.#idOf(left), this.#idOf(right)), rank);
      this.#made[rank] = this.#idOf(left + right);
    });
  }

  /** Ids of a piece; what `fallback` gives for a character that is no token. */
  merge(piece: string, fallback: (character: string) => readonly number[]): number[] {
    const characters = Array.from(piece);
    const n = characters.length;
    // A linked list of symbols by place: a merged symbol keeps the place of its first one.
    const ids = Int32Array.from(characters, (character) => this.#idOf(character));
    const next = Int32Array.from({ length: n }, (_, i) => i + 1);
    const previous = Int32Array.from({ length: n }, (_, i) => i - 1);
    /** Of each place: the rank of its symbol with the next one, -1 for none. An entry of the queue with another is stale. */
    const ranks = new Int32Array(n).fill(-1);
    // Each merge is followed by two offers at most, and there are fewer merges than characters.
    const queue = new FlatQueue<number>(3 * n);
    const offer = (place: number) => {
      const right = next[place] as number;
      const rank = right < n ? this.#rankOf(ids[place] as number, ids[right] as number) : -1;
      ranks[place] = rank;
      if (rank >= 0) queue.push(place, rank * PLACES + place);
    };
    for (let place = 0; place < n; place++) offer(place);
    for (;;) {
      const key = queue.peekValue();
      const place = queue.pop();
      if (key === undefined || place === undefined) break;
      const rank = ranks[place] as number;
      if (rank < 0 || rank * PLACES + place !== key) continue;
      const right = next[place] as number;
      const after = next[right] as number;
      ids[place] = this.#made[rank] as number;
      ranks[right] = -1;
      next[place] = after;
      if (after < n) previous[after] = place;
      const before = previous[place] as number;
      if (before >= 0) offer(before);
      offer(place);
    }
    const result: number[] = [];
    const known = new Map<string, readonly number[]>();
    for (let place = 0; place < n; place = next[place] as number) {
      const id = ids[place] as number;
      if (id >= 0) {
        result.push(id);
        continue;
      }
      const character = characters[place] as string;
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
