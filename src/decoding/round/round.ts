import type { Forest, ForestSequence } from "../../compute/forest/forest.ts";
import type { Lookahead, LookaheadAnchor, SamplingRequests } from "../../compute/loaded-model.ts";
import type { Draw, Drawn, SparseDistribution, Trial } from "../../compute/sampling/draw.ts";
import type { Sampler } from "../../compute/sampling/sampler.ts";
import type { RequestCounts } from "./request-history.ts";

/** A token that may follow. Siblings differ in their tokens, and stand in the order in which they are to be tried. */
export interface Proposal {
  readonly token: number;
  /** Index of the proposal before it; -1: it follows the pending token. */
  readonly parent: number;
  /** The kind of its proposer. */
  readonly source: string;
  /** 0: its source's first choice there. */
  readonly rank: number;
  /** As of `Proposed`. */
  readonly confidence: number;
  /** What it was drawn from; undefined where its source draws nothing: it is certain. */
  readonly from: SparseDistribution | undefined;
}

/** What an anchor is: a proposal's index, or PENDING, the last verified token. */
export const PENDING = -1;

/** One sequence's share of a forward. */
export interface RoundPlan {
  readonly sequence: ForestSequence;
  /** Verified tokens whose K and V are not written yet, in order; at least one. A chunk of the prompt is nothing else. */
  readonly pending: readonly number[];
  /** Parents before children. */
  readonly proposals: readonly Proposal[];
  /** Length of the MASK run off each anchor, [PENDING + 1 …, proposals…]; 0: none. */
  readonly maskRuns: readonly number[];
  /** Draws at the last pending token and at every proposal; undefined: nothing is drawn (a chunk that is not the last). */
  readonly sampler?: Sampler;
  /** How proposals are verified. */
  readonly verification: Verification;
  /** Proposals that are probably requested when the round is verified. */
  readonly lookaheads?: readonly RoundLookahead[];
}

/** Expected requests of the MASK runs, or of an anchor's `nHeads` heads. */
export interface RoundLookahead extends RequestCounts {
  readonly kind: Lookahead["kind"];
  readonly nHeads: number;
}

/**
 * exact: a proposal stands if plain decoding draws it. rejection: if u < min(1, p/q), and the text is distributed as plain
 * decoding's. relaxed: if u < min(1, p/(tau q)), which is not lossless.
 */
export type Verification =
  | { readonly mode: "exact" | "rejection" }
  | { readonly mode: "relaxed" /** Above 0, at most 1 (the same as rejection). */; readonly tau: number };

/** Rows of a round beside its pending tokens. */
export function extraRows({ proposals, maskRuns }: Pick<RoundPlan, "proposals" | "maskRuns">) {
  return { proposals: proposals.length, maskRows: maskRuns.reduce((sum, length) => sum + length, 0) };
}

/** Where a plan's rows are in the forest. */
export interface RoundRows {
  /** First row of the pending tokens. */
  readonly pendingRow: number;
  /** Index of the draw of the last pending token; the proposals' follow. */
  readonly firstDraw: number;
  /** First MASK row off each anchor, index anchor + 1; -1: none. */
  readonly maskRows: readonly number[];
}

/**
 * Lays out one forward of several sequences: for each its pending tokens and proposals, then, after all token rows, the
 * MASK runs. Slots follow the order of a sequence's rows, so pending tokens and a chain of proposals lie where they
 * belong.
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
  const add = (own: number, token: number, position: number, parent: number, hasOutput: boolean): number => {
    sequence.push(own);
    tokens.push(token);
    parents.push(parent);
    needsOutput.push(hasOutput ? 1 : 0);
    return positions.push(position) - 1;
  };

  const tokenRows = plans.map(({ sequence: { length }, pending, proposals, sampler, verification }, own) => {
    const pendingRow = tokens.length;
    const firstDraw = draws.length;
    const isDrawn = sampler !== undefined;
    pending.forEach((token, i) => {
      add(own, token, length + i, i === 0 ? -1 : pendingRow + i - 1, isDrawn && i === pending.length - 1);
    });
    const lastPending = tokens.length - 1;
    const paths: number[][] = [];
    const trials = trialsOf(proposals, verification);
    if (isDrawn)
      draws.push({ row: lastPending, sampler, position: length + pending.length, unverified: [], ...trials(PENDING) });
    proposals.forEach(({ token, parent }, i) => {
      const path = [...(paths[parent] ?? []), token];
      paths.push(path);
      const position = length + pending.length - 1 + path.length;
      add(own, token, position, parent === PENDING ? lastPending : lastPending + 1 + parent, isDrawn);
      if (isDrawn) {
        draws.push({ row: lastPending + 1 + i, sampler, position: position + 1, unverified: path, ...trials(i) });
      }
    });
    return { pendingRow, firstDraw, lastPending };
  });

  const rows = plans.map(({ maskRuns }, own): RoundRows => {
    const { pendingRow, firstDraw, lastPending } = tokenRows[own] as (typeof tokenRows)[number];
    const maskRows = maskRuns.map((runLength, index) => {
      if (runLength === 0) return -1;
      const anchor = lastPending + index;
      const first = tokens.length;
      for (let j = 1; j <= runLength; j++) {
        add(own, -1, (positions[anchor] as number) + j, j === 1 ? anchor : tokens.length - 1, true);
      }
      return first;
    });
    return { pendingRow, firstDraw, maskRows };
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
  const lookaheads = plans.flatMap((plan, own) => {
    const { lastPending } = tokenRows[own] as (typeof tokenRows)[number];
    return lookaheadsOf(plan, rows[own] as RoundRows, lastPending);
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

/** What stood: `path` are the accepted proposals from the pending token down, `drawn` their tokens and one more. */
export interface Verified {
  readonly path: readonly number[];
  readonly drawn: readonly Drawn[];
}

/**
 * Walks down from the pending token as long as what is drawn at a row equals one of its children. That is exact
 * verification; in the other modes the draw itself tried the children. `drawnAt` gives what was drawn at an anchor.
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

/** What a draw at an anchor tries. */
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
