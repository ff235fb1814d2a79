import { fromByteLevel, toByteLevel } from "./byte-level.ts";

/** How a vocabulary writes bytes as text. */
export interface Alphabet {
  /** A piece of normalised text as the vocabulary writes it. */
  readonly write: (piece: string) => string;
  /** The bytes that a token stands for; undefined where it is no text. */
  readonly read: (token: string) => Uint8Array | undefined;
  /** Whether each text begins with a space of the tokenizer's own, which is no part of it. */
  readonly hasFirstSpace: boolean;
}

export const byteLevel: Alphabet = { write: toByteLevel, read: fromByteLevel, hasFirstSpace: false };

/** SentencePiece's space, U+2581. */
export const SPACE = "▁";

const byteToken = /^<0x([0-9A-F]{2})>$/;
const encoder = new TextEncoder();

/** Text as it is, U+2581 for spaces (the normalizer sees to that), and a token for each byte: SentencePiece as of Llama 2. */
export const sentencePiece: Alphabet = {
  write: (piece) => piece,
  read: (token) => {
    const byte = byteToken.exec(token)?.[1];
    return byte === undefined ? encoder.encode(token.replaceAll(SPACE, " ")) : Uint8Array.of(Number.parseInt(byte, 16));
  },
  hasFirstSpace: true,
};
