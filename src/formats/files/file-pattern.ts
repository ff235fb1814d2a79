import { createContext, runInContext } from "node:vm";
import { threadCpuMs } from "./thread-cpu.ts";

/** The reason why a pattern cannot be used. */
export class PatternError extends Error {}

/**
 * Of the limit, an interrupted attempt has to have computed so much to count as slow: valid patterns need far less, and a
 * slow one is found without many attempts.
 */
const COMPUTED_SHARE = 0.25;
/** On a machine that is so busy, a pattern is given up. */
const MAX_WAIT_MS = 60_000;

/**
 * Runs an untrusted regular expression with a time limit: it may take exponential time, and only V8 can interrupt it.
 * `limitMs` is computing time, because a valid pattern must not fail on a busy machine. V8 only knows the time on the
 * wall: a pattern that it interrupts early is run again with twice the time.
 * Returns the matches in each text, as a flat list of index and length.
 * @throws PatternError if the pattern is invalid, or takes longer than `limitMs` for all texts.
 */
export function matchesWithin(
  limitMs: number,
  source: string,
  flags: string,
  texts: readonly string[],
  computedMs: () => number = threadCpuMs,
): number[][] {
  const context = createContext({ source, flags, texts: JSON.stringify(texts) });
  const code = `
    (() => {
      const pattern = new RegExp(source, flags);
      return JSON.stringify(JSON.parse(texts).map((text) => {
        const matches = [];
        for (const match of text.matchAll(pattern)) matches.push(match.index, match[0].length);
        return matches;
      }));
    })()`;
  for (let waitMs = limitMs; ; waitMs *= 2) {
    const startMs = computedMs();
    try {
      return JSON.parse(String(runInContext(code, context, { timeout: waitMs }))) as number[][];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") {
        throw new PatternError("an invalid one");
      }
      const isSlow = computedMs() - startMs >= COMPUTED_SHARE * limitMs;
      if (isSlow || waitMs >= MAX_WAIT_MS) throw new PatternError("one that takes too long");
    }
  }
}
