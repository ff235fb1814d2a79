import type { Proposed } from "../../compute/sampling/proposal.ts";
import { maskRowsByValue, runAnchors, runLengths } from "../round/mask-runs.ts";
import type { LookAhead, PlanContext, Planner, RoundShape } from "./planner.ts";
import type { Proposer } from "../proposers/proposer.ts";
import { candidatesOf, type Proposing } from "../round/proposing.ts";
import { PENDING, type Proposal } from "../round/round.ts";

export interface StaticTreeOptions {
  /** Most tokens of a round. */
  readonly stride: number;
  readonly maxProposals: number;
  readonly maxMaskRows: number;
}

/** Assumed acceptance of the r-th draw at an anchor, for which the tree is optimal. */
const PROFILE: readonly number[] = [0.55, 0.15, 0.07];

/** A node of the tree: the `rank`-th draw at node `parent`. */
interface TreeNode {
  readonly parent: number;
  readonly rank: number;
  readonly depth: number;
  readonly reach: number;
}

/** A draw at its node. */
interface NodeDraw {
  readonly proposal: Proposal;
  readonly place: TreeNode;
}

/** A node while the tree grows, with its draw. */
interface Branch {
  /** Index, or PENDING. */
  readonly place: number;
  readonly path: readonly number[];
  /** Undefined: the pending token. */
  readonly drawn: Omit<Proposal, "parent"> | undefined;
  children: readonly Branch[];
}

/**
 * A tree of the same shape in all rounds of a request, for rejection and relaxed verification. There a proposal is a
 * draw from q, and verification corrects for q only. If draws were kept, dropped or ranked by their value they would
 * not be distributed as q, and the output would be biased towards confident tokens. So the number of draws at each node
 * is fixed before anything is drawn (as in Sequoia, arXiv 2402.12374, with a fixed profile). Since no measured time or
 * acceptance is used, the output is a function of seed and shape.
 */
export class StaticTreePlanner implements Planner {
  readonly #options: StaticTreeOptions;
  readonly #places: readonly TreeNode[];

  constructor(options: StaticTreeOptions) {
    this.#options = options;
    this.#places = bestNodes(options.maxProposals, options.stride - 1);
  }

  lookAhead(_proposer: Proposer, { remaining, maxRows }: PlanContext): LookAhead {
    return { depth: Math.min(this.#options.stride, remaining, maxRows) - 1, width: PROFILE.length };
  }

  *plan(context: PlanContext): Proposing<RoundShape> {
    const placed = yield* this.#draw(context);
    return { proposals: placed.map(({ proposal }) => proposal), maskRuns: this.#maskRuns(placed, context) };
  }

  /** Draws at all nodes, level by level; returned in depth-first order. */
  *#draw({ proposers, remaining, maxRows }: PlanContext): Proposing<NodeDraw[]> {
    const depth = Math.min(this.#options.stride, remaining) - 1;
    const root: Branch = { place: PENDING, path: [], drawn: undefined, children: [] };
    for (let level = [root], below = 1; below <= depth && level.length > 0; below++) {
      const open = level.filter(({ place }) => this.#nChildren(place) > 0);
      yield* this.#drawChildren(proposers, open);
      level = open.flatMap(({ children }) => children);
    }
    const placed: NodeDraw[] = [];
    const visit = ({ children }: Branch, parent: number) => {
      for (const child of children) {
        if (child.drawn === undefined || placed.length >= maxRows - 1) continue;
        const index =
          placed.push({ proposal: { ...child.drawn, parent }, place: this.#places[child.place] as TreeNode }) - 1;
        visit(child, index);
      }
    };
    visit(root, PENDING);
    return placed;
  }

  /** Draws of the first proposer that has any, for all nodes of a level. */
  *#drawChildren(proposers: readonly Proposer[], level: readonly Branch[]): Proposing<void> {
    let open = level;
    for (const proposer of proposers) {
      const queries = open.map(({ place, path }) => ({ proposer, path, count: this.#nChildren(place) }));
      const answers = yield* candidatesOf(queries);
      for (const [i, branch] of open.entries()) {
        const { tokens, confidences, from } = answers[i] as Proposed;
        branch.children = Array.from(tokens, (token, rank): Branch => {
          const drawn = { token, source: proposer.kind, rank, confidence: confidences[rank] ?? 0, from };
          const place = this.#places.findIndex((other) => other.parent === branch.place && other.rank === rank);
          return { place, path: [...branch.path, token], drawn, children: [] };
        }).filter(({ place }) => place >= 0);
      }
      open = open.filter((_, i) => answers[i]?.tokens.length === 0);
      if (open.length === 0) return;
    }
  }

  #nChildren(place: number): number {
    return this.#places.filter(({ parent }) => parent === place).length;
  }

  /** MASK runs by the assumed probability that verification ends at each node. */
  #maskRuns(placed: readonly NodeDraw[], context: PlanContext): number[] {
    const { remaining, maxRun, maxRows } = context;
    const { stride, maxMaskRows } = this.#options;
    const longest = Math.min(stride - 1, maxRun);
    const places = placed.map(({ proposal, place }) => ({ ...place, parent: proposal.parent }));
    const anchors = runAnchors(places, longest, remaining);
    const worth = Array.from({ length: longest }, (_, i) => (PROFILE[0] ?? 0) ** (i + 1));
    const rows = maskRowsByValue(anchors, worth).slice(0, Math.min(maxMaskRows, maxRows - 1 - placed.length));
    return runLengths(rows, anchors.length);
  }
}

/** The nodes of largest assumed reach, parents before children. */
function bestNodes(nPlaces: number, depth: number): TreeNode[] {
  const places: TreeNode[] = [];
  const frontier: TreeNode[] = [];
  const expand = (parent: number, own: Pick<TreeNode, "depth" | "reach">) => {
    if (own.depth >= depth) return;
    PROFILE.forEach((share, rank) => {
      frontier.push({ parent, rank, depth: own.depth + 1, reach: own.reach * share });
    });
  };
  expand(PENDING, { depth: 0, reach: 1 });
  while (places.length < nPlaces && frontier.length > 0) {
    const best = frontier.reduce((a, b) => (b.reach > a.reach ? b : a));
    frontier.splice(frontier.indexOf(best), 1);
    expand(places.push(best) - 1, best);
  }
  return places;
}
