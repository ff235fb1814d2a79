import { fromByteLevel, toByteLevel } from "./byte-level.ts";

/** How a vocabulary represents bytes as text. */
export interface Alphabet {
  /** Converts a piece of normalised text to the vocabulary's representation. */
  readonly write: (piece: string) => string;
  /** The bytes of a token; undefined if it does not represent text. */
  readonly read: (token: string) => Uint8Array | undefined;
}

export const byteLevel: Alphabet = { write: toByteLevel, read: fromByteLevel };

/** SentencePiece's space, U+2581. */
export const SPACE = "▁";

const byteToken = /^<0x([0-9A-F]{2})>$/;
const encoder = new TextEncoder();

/** Llama 2's SentencePiece: plain text, with U+2581 for spaces (done by the normalizer) and a token for each byte. */
export const sentencePiece: Alphabet = {
  write: (piece) => piece,
  read: (token) => {
    const byte = byteToken.exec(token)?.[1];
    return byte === undefined ? encoder.encode(token.replaceAll(SPACE, " ")) : Uint8Array.of(Number.parseInt(byte, 16));
  },
};

/** Tokens that are the texts themselves. */
export const characters: Alphabet = { write: (piece) => piece, read: (token) => encoder.encode(token) };
