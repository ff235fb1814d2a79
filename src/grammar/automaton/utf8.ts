import type { CharacterSet } from "../characters.ts";

/** A range of bytes at one place of a character. */
export type ByteRange = readonly [first: number, last: number];

/** The UTF-8 encodings of the set's characters, as sequences of byte ranges. */
export function utf8Of(set: CharacterSet): readonly (readonly ByteRange[])[] {
  const found: ByteRange[][] = [];
  for (const [first, last] of set) split(first, last, found);
  return found;
}

/** Last characters of one, two and three bytes. */
const LIMITS = [0x7f, 0x7ff, 0xffff];

/** Splits a range until the encodings of its ends differ in nothing but whole ranges, as in RE2. */
function split(first: number, last: number, found: ByteRange[][]): void {
  for (const limit of LIMITS) {
    if (first > limit || last <= limit) continue;
    split(first, limit, found);
    split(limit + 1, last, found);
    return;
  }
  for (let shift = 6; last > 0x7f && shift <= 18; shift += 6) {
    const low = 2 ** shift - 1;
    if ((first & ~low) === (last & ~low)) continue;
    if ((first & low) !== 0) {
      split(first, first | low, found);
      split((first | low) + 1, last, found);
      return;
    }
    if ((last & low) !== low) {
      split(first, (last & ~low) - 1, found);
      split(last & ~low, last, found);
      return;
    }
  }
  const [from, to] = [bytesOf(first), bytesOf(last)];
  found.push(from.map((byte, i) => [byte, to[i] as number] as const));
}

function bytesOf(code: number): number[] {
  if (code <= 0x7f) return [code];
  if (code <= 0x7ff) return [0xc0 | (code >> 6), 0x80 | (code & 63)];
  if (code <= 0xffff) return [0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63)];
  return [0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63)];
}
