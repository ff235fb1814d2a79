/** Code points from the first to the last. */
export type CodePointRange = readonly [first: number, last: number];

/** A set of characters: ascending ranges that neither overlap nor touch, without surrogates. */
export type CharacterSet = readonly CodePointRange[];

const LAST = 0x10ffff;
const SURROGATES: CodePointRange = [0xd800, 0xdfff];

/** The characters in any of these ranges. */
export function charactersOf(ranges: readonly CodePointRange[]): CharacterSet {
  return without(merged(ranges), [SURROGATES]);
}

/** The characters of a text. */
export function charactersIn(text: string): CharacterSet {
  return charactersOf(
    Array.from(text, (character) => {
      const code = character.codePointAt(0) as number;
      return [code, code] as const;
    }),
  );
}

/** All characters that are not in the set. */
export function complementOf(set: CharacterSet): CharacterSet {
  return without([[0, LAST]], [...set, SURROGATES]);
}

/** Characters of the first set that are not in the second. */
export function difference(set: CharacterSet, other: CharacterSet): CharacterSet {
  return without(set, other);
}

/** Characters of both sets. */
export function intersection(set: CharacterSet, other: CharacterSet): CharacterSet {
  return without(set, complementOf(other));
}

export const anyCharacter: CharacterSet = complementOf([]);

function merged(ranges: readonly CodePointRange[]): CodePointRange[] {
  const sorted = ranges.filter(([first, last]) => first <= last).sort(([a], [b]) => a - b);
  const result: [number, number][] = [];
  for (const [first, last] of sorted) {
    const before = result.at(-1);
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else result.push([first, last]);
  }
  return result;
}

function without(set: readonly CodePointRange[], other: readonly CodePointRange[]): CodePointRange[] {
  const excluded = merged(other);
  return set.flatMap(([first, last]) => {
    const rest: CodePointRange[] = [];
    let from = first;
    for (const [a, b] of excluded) {
      if (b < from || a > last) continue;
      if (a > from) rest.push([from, a - 1]);
      from = b + 1;
    }
    if (from <= last) rest.push([from, last]);
    return rest;
  });
}
