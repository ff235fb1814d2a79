import type { WireRound } from "../api/wire.ts";
import { sourceKey } from "./sources.ts";

/**
 * pending: the token before the round; accepted: stands in the text; rejected: differs from what the base model draws there;
 * unreached: below a rejected one, so never compared; drawn: drawn by the base model after the last accepted proposal.
 */
export type Verdict = "pending" | "accepted" | "rejected" | "unreached" | "drawn";

export interface TreeNode {
  readonly text: string;
  readonly verdict: Verdict;
  /** Colour key of its source. */
  readonly source: string;
  readonly probability: number | undefined;
  /** Column: 0 is the pending token. */
  readonly depth: number;
  /** Row: the text that stood is row 0. */
  readonly lane: number;
  /** Index of the node's parent among the nodes; undefined for the first. */
  readonly parent: number | undefined;
}

export interface RoundTree {
  /** Parents before children. */
  readonly nodes: readonly TreeNode[];
  readonly nDepths: number;
  readonly nLanes: number;
}

/** Lays out the proposals of a round as a tree from left to right. What stood is a straight line at the top. */
export function layOut(round: WireRound, pendingText: string): RoundTree {
  const { proposals, tokens } = round;
  const children = new Map<number, number[]>();
  for (const [i, { parent }] of proposals.entries()) {
    const key = parent >= 0 && parent < proposals.length && parent !== i ? parent : -1;
    children.set(key, [...(children.get(key) ?? []), i]);
  }
  const nodes: TreeNode[] = [
    {
      text: pendingText,
      verdict: "pending",
      source: "drawn",
      probability: undefined,
      depth: 0,
      lane: 0,
      parent: undefined,
    },
  ];
  const drawn = tokens.find(({ depth }) => depth === 0);
  let nLanes = 0;
  const place = (index: number, node: number, depth: number, lane: number, stood: boolean): void => {
    nLanes = Math.max(nLanes, lane + 1);
    const below = children.get(index) ?? [];
    // The accepted one first: it continues its parent's lane.
    const ordered = [...below].sort((a, b) => Number(proposals[b]?.accepted) - Number(proposals[a]?.accepted));
    const hasAccepted = stood && ordered.some((i) => proposals[i]?.accepted === true);
    let next = lane;
    if (stood && !hasAccepted && drawn !== undefined) {
      const { text, source } = drawn;
      nodes.push({
        ...{ text, verdict: "drawn", source: sourceKey(source, 0), probability: undefined },
        ...{ depth: depth + 1, lane, parent: node },
      });
      next = nLanes;
    }
    for (const i of ordered) {
      const proposal = proposals[i];
      if (proposal === undefined) continue;
      const isAccepted = stood && proposal.accepted;
      nodes.push({
        text: proposal.text,
        verdict: isAccepted ? "accepted" : stood ? "rejected" : "unreached",
        source: sourceKey(proposal.source, proposal.depth),
        probability: proposal.probability ?? undefined,
        ...{ depth: depth + 1, lane: next, parent: node },
      });
      place(i, nodes.length - 1, depth + 1, next, isAccepted);
      next = nLanes;
    }
  };
  place(-1, 0, 0, 0, true);
  return { nodes, nLanes, nDepths: 1 + Math.max(...nodes.map(({ depth }) => depth)) };
}

/** The text of the likeliest proposals of a round that did not stand, from the first wrong one on; empty: all stood. */
export function thrownAway(round: WireRound | undefined): string {
  if (round === undefined) return "";
  let text = "";
  // The last one that stood, or the pending token.
  let parent = round.proposals.findLastIndex((proposal) => proposal.accepted);
  for (;;) {
    const at = round.proposals.findIndex(
      (proposal, i) => proposal.parent === parent && !proposal.accepted && i > parent,
    );
    const next = round.proposals[at];
    if (next === undefined) return text;
    text += next.text;
    parent = at;
  }
}
