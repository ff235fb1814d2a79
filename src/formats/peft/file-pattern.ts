import { createContext, runInContext } from "node:vm";

/** Why a pattern of a file could not be used. */
export class PatternError extends Error {}

/**
 * Runs a regular expression that comes from a file: it may take exponential time, and only V8 can end that. For each text
 * the matches of the pattern, as pairs of index and length one after the other.
 * @throws PatternError where the pattern is none, or takes longer than `timeoutMs` for all texts.
 */
export function matchesWithin(timeoutMs: number, source: string, flags: string, texts: readonly string[]): number[][] {
  const context = createContext({ source, flags, texts: JSON.stringify(texts) });
  const code = `
    const pattern = new RegExp(source, flags);
    JSON.stringify(JSON.parse(texts).map((text) => {
      const matches = [];
      for (const match of text.matchAll(pattern)) matches.push(match.index, match[0].length);
      return matches;
    }));`;
  try {
    return JSON.parse(String(runInContext(code, context, { timeout: timeoutMs }))) as number[][];
  } catch (error) {
    const timedOut = (error as NodeJS.ErrnoException).code === "ERR_SCRIPT_EXECUTION_TIMEOUT";
    throw new PatternError(timedOut ? "one that takes too long" : "others");
  }
}
