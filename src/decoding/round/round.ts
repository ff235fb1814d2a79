import type { Forest, ForestSequence } from "../../compute/forest/forest.ts";
import type { Lookahead, LookaheadAnchor, SamplingRequests } from "../../compute/loaded-model.ts";
import type { Draw, Drawn, SparseDistribution, Trial } from "../../compute/sampling/draw.ts";
import type { Sampler } from "../../compute/sampling/sampler.ts";
import { scoredDraw } from "../../compute/sampling/scored-draw.ts";
import type { RequestCounts } from "./request-history.ts";

/** A proposed token. Siblings have different tokens, and are verified in their order. */
export interface Proposal {
  readonly token: number;
  /** Index of its parent; -1: the pending token. */
  readonly parent: number;
  /** The kind of its proposer. */
  readonly source: string;
  /** 0: its source's best candidate at this place. */
  readonly rank: number;
  /** As of `Proposed`. */
  readonly confidence: number;
  /** Distribution that it was drawn from; undefined: not drawn, so it has probability 1. */
  readonly from: SparseDistribution | undefined;
}

/** An anchor is a proposal's index, or PENDING for the last verified token. */
export const PENDING = -1;

/** The rows of one sequence in a forward. */
export interface RoundPlan {
  readonly sequence: ForestSequence;
  /** Verified tokens that are not in the KV cache, in order; at least one. A chunk of a prompt has only these. */
  readonly pending: readonly number[];
  /** Parents before children. */
  readonly proposals: readonly Proposal[];
  /** Length of the MASK run at each anchor, [PENDING + 1 …, proposals…]; 0: none. */
  readonly maskRuns: readonly number[];
  /**
   * Draws at the last pending token and at every proposal; undefined: no draws, as in all chunks of a prompt but the
   * last.
   */
  readonly sampler?: Sampler;
  readonly verification: Verification;
  /** Log-probabilities to compute: those of `tokens[i]` after pending token i. */
  readonly scored?: { readonly sampler: Sampler; readonly tokens: readonly number[] };
  /** With a grammar: the tokens allowed at each anchor, as in `maskRuns`, a bit per token. */
  readonly allowed?: readonly Uint32Array[];
  /** Proposals that will probably be requested after verification. */
  readonly lookaheads?: readonly RoundLookahead[];
}

/** Expected requests to MASK runs, or to `nHeads` heads of an anchor. */
export interface RoundLookahead extends RequestCounts {
  readonly kind: Lookahead["kind"];
  readonly nHeads: number;
}

/**
 * exact: a proposal is accepted if plain decoding draws the same token. rejection: if u < min(1, p/q), which preserves
 * the distribution of plain decoding. relaxed: if u < min(1, p/(tau q)), which is not lossless.
 */
export type Verification =
  | { readonly mode: "exact" | "rejection" }
  | { readonly mode: "relaxed" /** Above 0, at most 1 (the same as rejection). */; readonly tau: number };

/** Numbers of a round's rows without its pending tokens. */
export function extraRows({ proposals, maskRuns }: Pick<RoundPlan, "proposals" | "maskRuns">) {
  return { proposals: proposals.length, maskRows: maskRuns.reduce((sum, length) => sum + length, 0) };
}

/** Places of a plan's rows in the forest. */
export interface RoundRows {
  /** First row of its pending tokens. */
  readonly pendingRow: number;
  /** Draw of the first scored token; those of the others follow. */
  readonly firstScore: number;
  /** Draw of the last pending token; those of the proposals follow. */
  readonly firstDraw: number;
  /** First MASK row at each anchor, index anchor + 1; -1: none. */
  readonly maskRows: readonly number[];
}

/**
 * Lays out a forward of several sequences: pending tokens and proposals of each, then, after all token rows, the MASK
 * runs. Slots follow the order of a sequence's rows, so pending tokens and a chain of proposals need not be moved.
 */
export function layOut(plans: readonly RoundPlan[]): {
  readonly forest: Forest;
  readonly sampling: SamplingRequests;
  readonly rows: readonly RoundRows[];
} {
  const tokens: number[] = [];
  const positions: number[] = [];
  const parents: number[] = [];
  const sequence: number[] = [];
  const needsOutput: number[] = [];
  const draws: Draw[] = [];
  const add = (planIndex: number, token: number, position: number, parent: number, hasOutput: boolean): number => {
    sequence.push(planIndex);
    tokens.push(token);
    parents.push(parent);
    needsOutput.push(hasOutput ? 1 : 0);
    return positions.push(position) - 1;
  };

  const tokenRows = plans.map(
    ({ sequence: { length }, pending, proposals, sampler, verification, scored, allowed }, planIndex) => {
      const pendingRow = tokens.length;
      const firstScore = draws.length;
      const nScored = scored?.tokens.length ?? 0;
      scored?.tokens.forEach((token, i) => {
        draws.push(scoredDraw(token, { row: pendingRow + i, sampler: scored.sampler, position: length + i + 1 }));
      });
      const firstDraw = draws.length;
      const isDrawn = sampler !== undefined;
      pending.forEach((token, i) => {
        const hasOutput = i < nScored || (isDrawn && i === pending.length - 1);
        add(planIndex, token, length + i, i === 0 ? -1 : pendingRow + i - 1, hasOutput);
      });
      const lastPending = tokens.length - 1;
      const paths: number[][] = [];
      const trials = trialsOf(proposals, verification);
      const limits = (anchor: number) => {
        const set = allowed?.[anchor + 1];
        return set === undefined ? {} : { allowed: set };
      };
      if (isDrawn)
        draws.push({
          row: lastPending,
          sampler,
          position: length + pending.length,
          unverified: [],
          ...trials(PENDING),
          ...limits(PENDING),
        });
      proposals.forEach(({ token, parent }, i) => {
        const path = [...(paths[parent] ?? []), token];
        paths.push(path);
        const position = length + pending.length - 1 + path.length;
        add(planIndex, token, position, parent === PENDING ? lastPending : lastPending + 1 + parent, isDrawn);
        if (isDrawn) {
          draws.push({
            row: lastPending + 1 + i,
            sampler,
            position: position + 1,
            unverified: path,
            ...trials(i),
            ...limits(i),
          });
        }
      });
      return { pendingRow, firstScore, firstDraw, lastPending };
    },
  );

  const rows = plans.map(({ maskRuns }, planIndex): RoundRows => {
    const { pendingRow, firstScore, firstDraw, lastPending } = tokenRows[planIndex] as (typeof tokenRows)[number];
    const maskRows = maskRuns.map((runLength, index) => {
      if (runLength === 0) return -1;
      const anchor = lastPending + index;
      const first = tokens.length;
      for (let j = 1; j <= runLength; j++) {
        add(planIndex, -1, (positions[anchor] as number) + j, j === 1 ? anchor : tokens.length - 1, true);
      }
      return first;
    });
    return { pendingRow, firstScore, firstDraw, maskRows };
  });

  const forest: Forest = {
    sequences: plans.map((plan) => plan.sequence),
    tokens: Int32Array.from(tokens),
    positions: Int32Array.from(positions),
    parents: Int32Array.from(parents),
    gate: Uint8Array.from(tokens, (token) => (token === -1 ? 1 : 0)),
    sequence: Int32Array.from(sequence),
    needsOutput: Uint8Array.from(needsOutput),
  };
  const lookaheads = plans.flatMap((plan, planIndex) => {
    const { lastPending } = tokenRows[planIndex] as (typeof tokenRows)[number];
    return lookaheadsOf(plan, rows[planIndex] as RoundRows, lastPending);
  });
  return { forest, sampling: lookaheads.length === 0 ? { draws } : { draws, lookaheads }, rows };
}

function lookaheadsOf(plan: RoundPlan, { firstDraw, maskRows }: RoundRows, lastPending: number): Lookahead[] {
  const { pending, proposals, maskRuns, sampler, verification, lookaheads = [] } = plan;
  if (sampler === undefined) return [];
  const proposeFor = verification.mode === "exact" ? "exact" : "rejection";
  return lookaheads.flatMap(({ kind, widths, count, nHeads }): Lookahead[] => {
    const anchors = maskRuns.map((runLength, index): LookaheadAnchor => {
      const proposal = proposals[index - 1];
      const place =
        kind === "mask"
          ? { row: maskRows[index] as number, length: runLength }
          : { row: lastPending + index, length: nHeads };
      return {
        parent: proposal === undefined ? -1 : proposal.parent + 1,
        token: proposal?.token ?? (pending.at(-1) as number),
        ...place,
      };
    });
    if (widths.length === 0 || anchors.every(({ length }) => length === 0)) return [];
    return [{ kind, widths, count, proposeFor, firstDraw, anchors }];
  });
}

/** Result of verification: `path` has the accepted proposals, `drawn` their tokens and one more. */
export interface Verified {
  readonly path: readonly number[];
  readonly drawn: readonly Drawn[];
}

/**
 * Descends from the pending token while the token drawn at a row equals one of its children. This is exact
 * verification; in the other modes the draw itself tried the children. `drawnAt` returns the draw at an anchor.
 */
export function verify(proposals: readonly Proposal[], drawnAt: (anchor: number) => Drawn): Verified {
  const path: number[] = [];
  const drawn: Drawn[] = [];
  for (let anchor = PENDING; ; ) {
    const next = drawnAt(anchor);
    drawn.push(next);
    anchor = proposals.findIndex(({ token, parent }) => parent === anchor && token === next.token);
    if (anchor < 0) return { path, drawn };
    path.push(anchor);
  }
}

/** Proposals that the draw at an anchor tries. */
function trialsOf(
  proposals: readonly Proposal[],
  verification: Verification,
): (anchor: number) => { readonly trial?: Trial } {
  if (verification.mode === "exact") return () => ({});
  const tau = verification.mode === "relaxed" ? verification.tau : 1;
  return (anchor) => {
    const children = proposals.filter(({ parent }) => parent === anchor);
    return { trial: { tokens: children.map(({ token }) => token), from: children.map(({ from }) => from), tau } };
  };
}

/** Depth of each proposal, from 1. */
export function proposalDepths(proposals: readonly Proposal[]): number[] {
  const depths: number[] = [];
  for (const { parent } of proposals) depths.push((depths[parent] ?? 0) + 1);
  return depths;
}
