/** Tokens of a model, as the grammar needs them. */
export interface GrammarTokens {
  readonly vocabSize: number;
  /** Bytes of a token; undefined: it is not text (unused, special). */
  tokenBytes(id: number): Uint8Array | undefined;
  /** They are allowed where the text may end. */
  readonly endTokens: ReadonlySet<number>;
}

/**
 * The vocabulary as a tree of bytes, in depth-first order: what a state does not allow is skipped with all that starts
 * with it.
 */
export class Vocabulary {
  readonly size: number;
  /** A bit per end token. */
  readonly endMask: Uint32Array;
  readonly endTokens: ReadonlySet<number>;
  /** By node: its byte, its depth, the node after those below it, and its tokens in `tokens` up to those of the next node. */
  readonly byte: Uint8Array;
  readonly depth: Uint16Array;
  readonly skip: Int32Array;
  readonly firstToken: Int32Array;
  readonly tokens: Int32Array;
  readonly #bytes: readonly (Uint8Array | undefined)[];

  constructor({ vocabSize, tokenBytes, endTokens }: GrammarTokens) {
    this.size = vocabSize;
    this.endTokens = endTokens;
    this.endMask = new Uint32Array(Math.ceil(vocabSize / 32));
    for (const token of endTokens) if (token < vocabSize) allow(this.endMask, token);
    this.#bytes = Array.from({ length: vocabSize }, (_, id) => {
      const bytes = endTokens.has(id) ? undefined : tokenBytes(id);
      return bytes === undefined || bytes.length === 0 ? undefined : bytes;
    });
    const texts = this.#bytes.flatMap((bytes, id) =>
      bytes === undefined ? [] : [{ id, key: Buffer.from(bytes).toString("latin1") }],
    );
    // By code unit, which is a byte here.
    texts.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.id - b.id));
    const nNodes = texts.reduce((sum, { key }, i) => sum + key.length - sharedLength(texts[i - 1]?.key ?? "", key), 0);
    this.byte = new Uint8Array(nNodes);
    this.depth = new Uint16Array(nNodes);
    this.skip = new Int32Array(nNodes).fill(nNodes);
    this.firstToken = new Int32Array(nNodes + 1);
    this.tokens = Int32Array.from(texts, ({ id }) => id);
    const open: number[] = [];
    let node = 0;
    for (const [i, { key }] of texts.entries()) {
      const shared = sharedLength(texts[i - 1]?.key ?? "", key);
      while (open.length > shared) this.skip[open.pop() as number] = node;
      for (let depth = shared; depth < key.length; depth++) {
        this.byte[node] = key.charCodeAt(depth);
        this.depth[node] = depth;
        // Its tokens start at this one if it is the last node of the token, else they are none.
        this.firstToken[node] = i;
        open.push(node++);
      }
    }
    this.firstToken[nNodes] = texts.length;
  }

  /** Bytes of a token that is text. */
  bytesOf(token: number): Uint8Array | undefined {
    return this.#bytes[token];
  }
}

/** Sets a token's bit. */
export function allow(mask: Uint32Array, token: number): void {
  const word = token >>> 5;
  mask[word] = ((mask[word] as number) | (1 << (token & 31))) >>> 0;
}

function sharedLength(a: string, b: string): number {
  let n = 0;
  while (n < a.length && n < b.length && a.charCodeAt(n) === b.charCodeAt(n)) n++;
  return n;
}
