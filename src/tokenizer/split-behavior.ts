/** What happens to the matches of a pattern that splits a text (`behavior` of tokenizers' Split). */
export type SplitBehavior = "Isolated" | "Removed" | "MergedWithPrevious" | "MergedWithNext" | "Contiguous";

const behaviors: ReadonlySet<unknown> = new Set<SplitBehavior>([
  "Isolated",
  "Removed",
  "MergedWithPrevious",
  "MergedWithNext",
  "Contiguous",
]);

export function isSplitBehavior(value: unknown): value is SplitBehavior {
  return behaviors.has(value);
}

interface Part {
  start: number;
  end: number;
  readonly isMatch: boolean;
}

/**
 * A text in pieces; `matches`: index and length, one after the other, also of empty matches, at which the text is split, too.
 * `invert`: what is between matches takes their part.
 */
export function splitAt(text: string, matches: readonly number[], behavior: SplitBehavior, invert: boolean): string[] {
  const parts: Part[] = [];
  const pieces: string[] = [];
  let end = 0;
  const push = (start: number, stop: number, isMatch: boolean) => {
    // Most patterns are of this kind, and prompts are long.
    if (behavior !== "Isolated") parts.push({ start, end: stop, isMatch: isMatch !== invert });
    else if (stop > start) pieces.push(text.slice(start, stop));
    end = stop;
  };
  for (let i = 0; i < matches.length; i += 2) {
    const [index = 0, length = 0] = [matches[i], matches[i + 1]];
    // JavaScript also finds empty matches right behind another match, and between the halves of a character.
    if (length === 0 && ((index === end && i > 0) || (text.codePointAt(index - 1) ?? 0) > 0xffff)) continue;
    if (index > end) push(end, index, false);
    push(index, index + length, true);
  }
  if (end < text.length) push(end, text.length, false);
  for (const { start, end: stop } of merged(parts, behavior)) if (stop > start) pieces.push(text.slice(start, stop));
  return pieces;
}

/** The pieces that a behavior makes of the parts. */
function merged(parts: readonly Part[], behavior: SplitBehavior): readonly Part[] {
  switch (behavior) {
    case "Isolated":
      return parts;
    case "Removed":
      return parts.filter(({ isMatch }) => !isMatch);
    case "Contiguous":
      return joined(parts, (part, previous) => part.isMatch === previous);
    case "MergedWithPrevious":
      return joined(parts, (part, previous) => part.isMatch && !previous);
    case "MergedWithNext":
      return joined(parts.toReversed(), (part, previous) => part.isMatch && !previous).toReversed();
  }
}

/** Joins a part to the one before if `joins` says so, which is told whether the part before is a match (at first: not). */
function joined(parts: readonly Part[], joins: (part: Part, previous: boolean) => boolean): Part[] {
  const result: Part[] = [];
  let previous = false;
  for (const part of parts) {
    const last = result.at(-1);
    if (last !== undefined && joins(part, previous)) {
      last.start = Math.min(last.start, part.start);
      last.end = Math.max(last.end, part.end);
    } else result.push({ ...part });
    previous = part.isMatch;
  }
  return result;
}
