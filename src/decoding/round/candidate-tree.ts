import type { SequenceAcceptance } from "../controller/acceptance-model.ts";
import type { Proposer, ProposerKind } from "../proposers/proposer.ts";
import { PENDING, type Proposal } from "./round.ts";

/** A candidate with how likely verification gets to it and takes it. */
export interface Candidate extends Proposal {
  /** From 1. */
  readonly depth: number;
  /** P(it and all before it stand). */
  readonly reach: number;
}

/** What was offered at an anchor, whether or not it is in the tree. */
export interface Offer {
  /** Index of the anchor among the tree's candidates, or PENDING. */
  readonly anchor: number;
  readonly candidates: readonly Candidate[];
}

/** Candidates by descending reach, parents before children: any prefix is the best tree of its size. */
export interface CandidateTree {
  readonly candidates: readonly Candidate[];
  readonly offers: readonly Offer[];
  /** Anchors at which proposers were asked. */
  readonly nAsked: number;
}

export const noCandidateTree: CandidateTree = { candidates: [], offers: [], nAsked: 0 };

export interface GrowthLimits {
  /** Most tokens below the pending one. */
  readonly depth: number;
  /** Most candidates of a proposer at an anchor. */
  readonly width: number;
  readonly nCandidates: number;
  /** Candidates with less are left out. */
  readonly leastReach: number;
  /** What asking at an anchor costs, in tokens: a sampler head reads a megabyte or two, a few hundredths of a step. */
  readonly asking: number;
}

/**
 * Best-first growth over the candidates of all proposers at each anchor: the tree of n nodes with the largest expected number
 * of accepted tokens (the sum of the nodes' reach) is made of the n nodes of largest reach, since a child never has more than
 * its parent (EAGLE-2, arXiv 2406.16858, section 4; Sequoia, arXiv 2402.12374, proves it for static trees). It looks at what
 * was drawn or is likely to be drawn, so it is for exact verification only.
 */
export function growTree(
  proposers: readonly Proposer[],
  acceptance: SequenceAcceptance,
  { depth, width, nCandidates, leastReach, asking }: GrowthLimits,
): CandidateTree {
  const candidates: Candidate[] = [];
  const paths: number[][] = [];
  const offers: Offer[] = [];
  /** Ascending by reach; the last one is taken next. */
  const frontier: Candidate[] = [];
  let nAsked = 0;
  const expand = (anchor: number, path: readonly number[], reach: number) => {
    nAsked++;
    const offered = offersAfter(proposers, acceptance, path, width, anchor, reach);
    if (offered.length > 0) offers.push({ anchor, candidates: offered });
    for (const candidate of offered) {
      if (candidate.reach < leastReach) continue;
      let at = frontier.length;
      // Of equals the one that was there first is taken first.
      while (at > 0 && (frontier[at - 1] as Candidate).reach >= candidate.reach) at--;
      frontier.splice(at, 0, candidate);
    }
  };
  // Not where a proposer's best is hardly ever likely enough.
  const mayLeadOn = ({ depth: above, reach }: Candidate) =>
    proposers.some(({ kind }) => reach * acceptance.ahead(kind, 0, above + 1) >= leastReach + asking);
  // Even where nothing is taken: what was offered is compared with what is drawn.
  if (depth > 0) expand(PENDING, [], 1);
  while (candidates.length < nCandidates) {
    const next = frontier.pop();
    if (next === undefined) break;
    const index = candidates.push(next) - 1;
    const path = [...(paths[next.parent] ?? []), next.token];
    paths.push(path);
    if (next.depth < depth && mayLeadOn(next)) expand(index, path, next.reach);
  }
  return { candidates, offers, nAsked };
}

/** Candidates of all proposers after a path, each token once. */
function offersAfter(
  proposers: readonly Proposer[],
  acceptance: SequenceAcceptance,
  path: readonly number[],
  width: number,
  parent: number,
  reach: number,
): Candidate[] {
  const depth = path.length + 1;
  const found: { token: number; source: ProposerKind; rank: number; confidence: number; odds: number }[] = [];
  for (const proposer of proposers) {
    const { tokens, confidences } = proposer.candidates(path, width);
    const own = Array.from(tokens, (token, rank) => {
      const trait = { source: proposer.kind, rank, confidence: confidences[rank] ?? 0 };
      return { token, ...trait, mean: acceptance.estimate(trait, depth).mean };
    });
    // One source's candidates exclude each other: together they have the odds of one of them being right.
    const sum = own.reduce((total, { mean }) => total + mean, 0);
    const capped = Math.min(sum, 0.99);
    for (const { mean, ...one } of own) {
      const odds = sum === 0 ? 0 : (mean / sum) * (capped / (1 - capped));
      const other = found.findIndex(({ token }) => token === one.token);
      if (other < 0) found.push({ ...one, odds });
      else if ((found[other]?.odds ?? 0) < odds) found[other] = { ...one, odds };
    }
  }
  // Different sources compete: where one is nearly sure of a token, another's is hardly right.
  const all = 1 + found.reduce((total, { odds }) => total + odds, 0);
  return found.map(({ odds, ...one }) => ({ ...one, parent, from: undefined, depth, reach: (reach * odds) / all }));
}
