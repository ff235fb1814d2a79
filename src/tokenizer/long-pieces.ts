import type { TokenizerJson } from "../formats/files/tokenizer-json.ts";
import { mergePairs } from "./merge-pairs.ts";

/** `@huggingface/tokenizers` caches the tokens of pieces shorter than this. */
export const LONG_PIECE = 256;

/**
 * BPE of one piece of any length, over flat arrays; `@huggingface/tokenizers` (0.2.0) creates objects and a JSON string
 * per pair, and takes 20 seconds for a million characters without a break.
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
    /** By the position of a symbol's first part. */
    const ids = Int32Array.from(characters, (character) => this.#idOf(character));
    const next = mergePairs(n, {
      rankOf: (left, right) => this.#rankOf(ids[left] as number, ids[right] as number),
      merged: (left, rank) => {
        ids[left] = this.#merged[rank] as number;
      },
    });
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
