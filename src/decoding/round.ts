import type { Draw, Drawn, Forest, ForestSequence, Sampler } from "../compute/backend.ts";

/** A token that may follow; `parent` is the index of the proposal before it, -1: it follows the pending token. */
export interface Proposal {
  readonly token: number;
  readonly parent: number;
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
}

/** Where a plan's rows are in the forest. */
export interface RoundRows {
  /** First row of the pending tokens. */
  readonly pendingRow: number;
  /** Index into Forest.draws of the last pending token's draw; the proposals' follow. */
  readonly firstDraw: number;
  /** First MASK row off each anchor, index anchor + 1; -1: none. */
  readonly maskRows: readonly number[];
}

/**
 * Lays out one forward of several sequences: for each its pending tokens and proposals, then, after all token rows, the
 * MASK runs. Slots follow the order of a sequence's rows, so pending tokens and a chain of proposals lie where they
 * belong.
 */
export function layOut(plans: readonly RoundPlan[]): { readonly forest: Forest; readonly rows: readonly RoundRows[] } {
  const tokens: number[] = [];
  const positions: number[] = [];
  const parents: number[] = [];
  const sequence: number[] = [];
  const wanted: number[] = [];
  const draws: Draw[] = [];
  const add = (own: number, token: number, position: number, parent: number, isWanted: boolean): number => {
    sequence.push(own);
    tokens.push(token);
    parents.push(parent);
    wanted.push(isWanted ? 1 : 0);
    return positions.push(position) - 1;
  };

  const tokenRows = plans.map(({ sequence: { length }, pending, proposals, sampler }, own) => {
    const pendingRow = tokens.length;
    const firstDraw = draws.length;
    const isDrawn = sampler !== undefined;
    pending.forEach((token, i) => {
      add(own, token, length + i, i === 0 ? -1 : pendingRow + i - 1, isDrawn && i === pending.length - 1);
    });
    const lastPending = tokens.length - 1;
    const paths: number[][] = [];
    if (isDrawn) draws.push({ row: lastPending, sampler, position: length + pending.length, extra: [] });
    proposals.forEach(({ token, parent }, i) => {
      const path = [...(paths[parent] ?? []), token];
      paths.push(path);
      const position = length + pending.length - 1 + path.length;
      add(own, token, position, parent === PENDING ? lastPending : lastPending + 1 + parent, isDrawn);
      if (isDrawn) draws.push({ row: lastPending + 1 + i, sampler, position: position + 1, extra: path });
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
    wanted: Uint8Array.from(wanted),
    draws,
  };
  return { forest, rows };
}

/** What stood: `path` are the accepted proposals from the pending token down, `drawn` their tokens and one more. */
export interface Verified {
  readonly path: readonly number[];
  readonly drawn: readonly Drawn[];
}

/**
 * Exact verification: walks down from the pending token as long as what is drawn at a row equals one of its children.
 * `drawnAt` gives what was drawn at an anchor.
 */
export function verifyExact(proposals: readonly Proposal[], drawnAt: (anchor: number) => Drawn): Verified {
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

/** A round's form: which anchors get a MASK run. */
export type Shape = "chain" | "quadratic";

/**
 * Lengths of the MASK runs, [PENDING, proposals…]. chain: off the last proposal only (arXiv 2604.11035, section 4);
 * quadratic: off every anchor, so that no round starts cold (arXiv 2507.11851). No run is longer than what the rounds
 * after it can use: an anchor at depth d that stands leaves `remaining` - d - 1 tokens to write, one of them the next
 * round's own.
 */
export function maskRunLengths(
  proposals: readonly Proposal[],
  runLength: number,
  remaining: number,
  shape: Shape,
): number[] {
  const depths = proposalDepths(proposals);
  return [0, ...depths].map((depth, index) => {
    const isAnchor = shape === "quadratic" || index === proposals.length;
    return isAnchor ? Math.max(0, Math.min(runLength, remaining - depth - 2)) : 0;
  });
}

/** Depth of each proposal, from 1. */
export function proposalDepths(proposals: readonly Proposal[]): number[] {
  const depths: number[] = [];
  for (const { parent } of proposals) depths.push((depths[parent] ?? 0) + 1);
  return depths;
}

/** A chain of proposals below the pending token. */
export function chainOf(tokens: readonly number[]): Proposal[] {
  return tokens.map((token, i) => ({ token, parent: i - 1 }));
}
