import { createContext, runInContext } from "node:vm";

/** The reason why a pattern cannot be used. */
export class PatternError extends Error {}

/**
 * Runs an untrusted regular expression with a time limit: it may take exponential time, and only V8 can interrupt it.
 * Returns the matches in each text, as a flat list of index and length.
 * @throws PatternError if the pattern is invalid, or takes longer than `timeoutMs` for all texts.
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
    throw new PatternError(timedOut ? "one that takes too long" : "an invalid one");
  }
}
