import type { Proposed } from "../../compute/sampling/proposal.ts";
import type { SequenceAcceptance } from "../controller/acceptance-model.ts";
import type { Proposer } from "../proposers/proposer.ts";
import { candidatesOf, type Proposing } from "./proposing.ts";
import { PENDING, type Proposal } from "./round.ts";

/** A candidate with its estimated acceptance. */
export interface Candidate extends Proposal {
  /** From 1. */
  readonly depth: number;
  /** P(it and its ancestors are accepted). */
  readonly reach: number;
}

/** All candidates proposed at an anchor, in the tree or not. */
export interface AnchorCandidates {
  /** Index of the anchor among the tree's candidates, or PENDING. */
  readonly anchor: number;
  readonly candidates: readonly Candidate[];
}

/** Candidates by descending reach, parents before children: any prefix is the best tree of its size. */
export interface CandidateTree {
  readonly candidates: readonly Candidate[];
  readonly proposed: readonly AnchorCandidates[];
  /** Anchors at which proposers were called. */
  readonly nAnchors: number;
}

export const noCandidateTree: CandidateTree = { candidates: [], proposed: [], nAnchors: 0 };

export interface GrowthLimits {
  /** Most tokens below the pending one. */
  readonly depth: number;
  /** Most candidates of a proposer at an anchor. */
  readonly width: number;
  readonly nCandidates: number;
  /** Candidates below this reach are not included. */
  readonly leastReach: number;
  /**
   * Cost of calling the proposers at an anchor, in tokens: a sampler head reads one or two megabytes, a few hundredths
   * of a step.
   */
  readonly anchorCost: number;
}

/** A candidate, or the root, while the tree grows. */
interface Node {
  /** Undefined: the pending token. */
  readonly parent: Node | undefined;
  readonly path: readonly number[];
  readonly reach: number;
  /** Without the parent's index. */
  readonly candidate: Omit<Candidate, "parent"> | undefined;
  children: readonly Node[];
}

/**
 * Tree of n candidates with the largest expected number of accepted tokens, the sum of their reach. It consists of the
 * n candidates of largest reach, since a child's reach is at most its parent's (EAGLE-2, arXiv 2406.16858, section 4;
 * Sequoia, arXiv 2402.12374, proves it for static trees). It grows level by level below the n best candidates so far.
 * The choice depends on the drawn candidates, so it is for exact verification only.
 */
export function* growTree(
  proposers: readonly Proposer[],
  acceptance: SequenceAcceptance,
  { depth, width, nCandidates, leastReach, anchorCost }: GrowthLimits,
): Proposing<CandidateTree> {
  /** By descending reach, earlier ones first among equals: parents precede their children. */
  const best: Node[] = [];
  const expanded: Node[] = [];
  // The pending token's candidates are needed for learning even if none is included.
  let level: Node[] = depth > 0 ? [{ parent: undefined, path: [], reach: 1, candidate: undefined, children: [] }] : [];
  for (let below = 1; level.length > 0; below++) {
    const queries = level.flatMap(({ path }) => proposers.map((proposer) => ({ proposer, path, count: width })));
    const answers = yield* candidatesOf(queries);
    for (const [i, node] of level.entries()) {
      const found = answers.slice(i * proposers.length, (i + 1) * proposers.length);
      node.children = childrenOf(node, below, proposers, found, acceptance);
      for (const child of node.children) if (child.reach >= leastReach) insert(best, child);
    }
    expanded.push(...level);
    best.length = Math.min(best.length, nCandidates);
    // Skips nodes below which no proposer is likely enough, and the last of the n best: its children would not be among
    // them.
    level = best.filter(
      ({ candidate, reach }, i) =>
        candidate?.depth === below &&
        below < depth &&
        i + 1 < nCandidates &&
        proposers.some(({ kind }) => reach * acceptance.ahead(kind, 0, below + 1) >= leastReach + anchorCost),
    );
  }
  return treeOf(best, expanded);
}

function treeOf(best: readonly Node[], expanded: readonly Node[]): CandidateTree {
  const indices = new Map<Node | undefined, number>([[undefined, PENDING]]);
  const candidates: Candidate[] = [];
  const candidateOf = ({ candidate, parent }: Node): Candidate => {
    const { token, source, rank, confidence, from, depth, reach } = candidate as NonNullable<Node["candidate"]>;
    return { token, source, rank, confidence, from, depth, reach, parent: indices.get(parent) ?? PENDING };
  };
  for (const node of best) indices.set(node, candidates.push(candidateOf(node)) - 1);
  const proposed: AnchorCandidates[] = [];
  for (const node of expanded) {
    const isRoot = node.candidate === undefined;
    const anchor = isRoot ? PENDING : indices.get(node);
    if (anchor === undefined || node.children.length === 0) continue;
    proposed.push({
      anchor,
      candidates: node.children.map((child) => {
        const index = indices.get(child);
        return index === undefined ? candidateOf(child) : (candidates[index] as Candidate);
      }),
    });
  }
  return { candidates, proposed, nAnchors: expanded.length };
}

function insert(best: Node[], node: Node): void {
  let at = best.length;
  while (at > 0 && (best[at - 1] as Node).reach < node.reach) at--;
  best.splice(at, 0, node);
}

/** A candidate of one place while its odds are estimated. */
interface Contender {
  readonly token: number;
  readonly source: string;
  readonly rank: number;
  readonly confidence: number;
  /** First its estimated acceptance, then its odds against all others. */
  odds: number;
}

/** Candidates of all proposers below a node, each token once. In loops without copies: it runs in every round. */
function childrenOf(
  node: Node,
  depth: number,
  proposers: readonly Proposer[],
  answers: readonly Proposed[],
  acceptance: SequenceAcceptance,
): Node[] {
  const found: Contender[] = [];
  // Candidates of different sources compete: if one source is nearly sure of a token, other tokens are unlikely.
  let all = 1;
  for (const [i, { tokens, confidences }] of answers.entries()) {
    const source = (proposers[i] as Proposer).kind;
    const contenders: Contender[] = [];
    let sum = 0;
    for (let rank = 0; rank < tokens.length; rank++) {
      const trait = { token: tokens[rank] as number, source, rank, confidence: confidences[rank] ?? 0, odds: 0 };
      trait.odds = acceptance.estimate(trait);
      sum += trait.odds;
      contenders.push(trait);
    }
    // Candidates of one source exclude each other: their odds together are those of one of them being right.
    const capped = Math.min(sum, 0.99);
    const scale = sum === 0 ? 0 : capped / (1 - capped) / sum;
    for (const one of contenders) {
      one.odds *= scale;
      const other = found.findIndex(({ token }) => token === one.token);
      if (other < 0) found.push(one);
      else if ((found[other] as Contender).odds < one.odds) found[other] = one;
    }
  }
  for (const { odds } of found) all += odds;
  const parent = node.candidate === undefined ? undefined : node;
  return found.map(({ token, source, rank, confidence, odds }) => {
    const reach = (node.reach * odds) / all;
    const candidate = { token, source, rank, confidence, from: undefined, depth, reach };
    return { parent, path: [...node.path, token], reach, candidate, children: [] };
  });
}
