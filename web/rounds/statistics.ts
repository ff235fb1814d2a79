import type { WireRound } from "../api/wire.ts";
import { sourceKey } from "./sources.ts";

/** What rounds say about a generation. */
export interface Statistics {
  readonly tokens: number;
  readonly forwards: number;
  readonly tokensPerForward: number;
  /** Of decoding: without the prefill, which draws the first token. */
  readonly decodeMs: number;
  readonly tokensPerSecond: number;
  readonly proposed: number;
  readonly accepted: number;
  /**
   * By depth, from 1: rounds that had a proposal there below accepted ones only, and rounds in which one was accepted.
   */
  readonly byDepth: readonly { readonly reached: number; readonly accepted: number }[];
  /** Number of tokens by the colour key of their source. */
  readonly bySource: ReadonlyMap<string, number>;
}

export function statisticsOf(rounds: readonly WireRound[]): Statistics {
  let [tokens, decodeMs, decoded, proposed, accepted] = [0, 0, 0, 0, 0];
  const byDepth: { reached: number; accepted: number }[] = [];
  const bySource = new Map<string, number>();
  for (const round of rounds) {
    tokens += round.tokens.length;
    if (!isPrefill(round)) {
      decodeMs += round.ms;
      decoded += round.tokens.length;
    }
    for (const token of round.tokens) {
      const key = sourceKey(token.source, token.depth);
      bySource.set(key, (bySource.get(key) ?? 0) + 1);
    }
    proposed += round.proposals.length;
    accepted += round.proposals.filter((proposal) => proposal.accepted).length;
    countDepths(round, byDepth);
  }
  const forwards = rounds.length;
  return {
    ...{ tokens, forwards, decodeMs, proposed, accepted, byDepth, bySource },
    tokensPerForward: forwards === 0 ? 0 : tokens / forwards,
    tokensPerSecond: decodeMs > 0 ? (decoded / decodeMs) * 1000 : 0,
  };
}

/** Whether a round is the end of the prefill: its time is that of the prompt. */
export function isPrefill(round: WireRound): boolean {
  return round.forward === 1;
}

function countDepths(round: WireRound, byDepth: { reached: number; accepted: number }[]): void {
  const { proposals } = round;
  for (let depth = 1; ; depth++) {
    const level = proposals.filter((proposal) => {
      const parent = proposals[proposal.parent];
      return proposal.depth === depth && (parent === undefined || parent.accepted);
    });
    if (level.length === 0) return;
    byDepth[depth - 1] ??= { reached: 0, accepted: 0 };
    const count = byDepth[depth - 1];
    if (count === undefined) return;
    count.reached++;
    if (!level.some((proposal) => proposal.accepted)) return;
    count.accepted++;
  }
}

/** Means over the last forwards, after each forward of decoding. */
export interface Series {
  readonly forward: number[];
  readonly tokensPerForward: number[];
  readonly tokensPerSecond: number[];
}

/** Forwards of a moving mean: enough to be steady, few enough to follow the text. */
const WINDOW = 16;

export function seriesOf(rounds: readonly WireRound[]): Series {
  const series: Series = { forward: [], tokensPerForward: [], tokensPerSecond: [] };
  const decoding = rounds.filter((round) => !isPrefill(round));
  let [tokens, ms] = [0, 0];
  for (const [i, round] of decoding.entries()) {
    tokens += round.tokens.length;
    ms += round.ms;
    const leaving = decoding[i - WINDOW];
    tokens -= leaving?.tokens.length ?? 0;
    ms -= leaving?.ms ?? 0;
    series.forward.push(round.forward);
    series.tokensPerForward.push(tokens / Math.min(i + 1, WINDOW));
    series.tokensPerSecond.push(ms > 0 ? (tokens / ms) * 1000 : 0);
  }
  return series;
}
