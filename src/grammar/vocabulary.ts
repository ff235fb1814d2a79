/** Tokens of a model, as the grammar needs them. */
export interface GrammarTokens {
  readonly vocabSize: number;
  /** Bytes of a token; undefined: it is not text (unused, special). */
  tokenBytes(id: number): Uint8Array | undefined;
  /** They are allowed where the text may end. */
  readonly endTokens: ReadonlySet<number>;
}

/** Bytes of all tokens, one after the other, those of a token up to its end; none: it is not text, or ends the text. */
export interface TokenTexts {
  readonly bytes: Uint8Array;
  /** By token. */
  readonly ends: Int32Array;
}

/**
 * The texts of a vocabulary as a tree of bytes, in depth-first order: what a state does not allow is skipped with all that
 * starts with it. By node: its byte, its depth, the node after those below it, and its tokens in `tokens` up to those of the
 * next node.
 */
export interface TokenTree {
  readonly byte: Uint8Array;
  readonly depth: Uint16Array;
  readonly skip: Int32Array;
  readonly firstToken: Int32Array;
  readonly tokens: Int32Array;
}

/** A vocabulary, prepared for masks. */
export class Vocabulary {
  /** A bit per end token. */
  readonly endMask: Uint32Array;
  readonly endTokens: ReadonlySet<number>;
  readonly tree: TokenTree;
  readonly #texts: TokenTexts;

  constructor({ vocabSize, endTokens }: GrammarTokens, texts: TokenTexts, tree: TokenTree) {
    this.endTokens = endTokens;
    this.endMask = new Uint32Array(Math.ceil(vocabSize / 32));
    for (const token of endTokens) if (token < vocabSize) allow(this.endMask, token);
    this.tree = tree;
    this.#texts = texts;
  }

  /** Bytes of a token; none: it is not text. */
  bytesOf(token: number): Uint8Array {
    return bytesIn(this.#texts, token);
  }
}

/** The texts of a model's tokens. */
export function textsOf({ vocabSize, tokenBytes, endTokens }: GrammarTokens): TokenTexts {
  const texts = Array.from({ length: vocabSize }, (_, id) => (endTokens.has(id) ? undefined : tokenBytes(id)));
  const ends = new Int32Array(vocabSize);
  let length = 0;
  for (const [id, text] of texts.entries()) {
    length += text?.length ?? 0;
    ends[id] = length;
  }
  const bytes = new Uint8Array(length);
  for (const [id, text] of texts.entries()) if (text !== undefined) bytes.set(text, (ends[id] as number) - text.length);
  return { bytes, ends };
}

function bytesIn({ bytes, ends }: TokenTexts, token: number): Uint8Array {
  return bytes.subarray(token === 0 ? 0 : ends[token - 1], ends[token]);
}

/** Takes about 70 ms for 50,000 tokens. */
export function treeOf(all: TokenTexts): TokenTree {
  const { buffer, byteOffset } = all.bytes;
  const texts = Array.from(all.ends, (end, id) => {
    const start = id === 0 ? 0 : (all.ends[id - 1] as number);
    return { id, key: Buffer.from(buffer, byteOffset + start, end - start).toString("latin1") };
  }).filter(({ key }) => key !== "");
  // By code unit, which is a byte here.
  texts.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.id - b.id));
  const nNodes = texts.reduce((sum, { key }, i) => sum + key.length - sharedLength(texts[i - 1]?.key ?? "", key), 0);
  const byte = new Uint8Array(nNodes);
  const depth = new Uint16Array(nNodes);
  const skip = new Int32Array(nNodes).fill(nNodes);
  const firstToken = new Int32Array(nNodes + 1);
  const open: number[] = [];
  let node = 0;
  for (const [i, { key }] of texts.entries()) {
    const shared = sharedLength(texts[i - 1]?.key ?? "", key);
    while (open.length > shared) skip[open.pop() as number] = node;
    for (let at = shared; at < key.length; at++) {
      byte[node] = key.charCodeAt(at);
      depth[node] = at;
      // Its tokens start at this one if it is the last node of the token, else they are none.
      firstToken[node] = i;
      open.push(node++);
    }
  }
  firstToken[nNodes] = texts.length;
  return { byte, depth, skip, firstToken, tokens: Int32Array.from(texts, ({ id }) => id) };
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
