import type { Proposed } from "../../compute/sampling/proposal.ts";
import { maskRowsByValue, runAnchors, runLengths } from "../round/mask-runs.ts";
import type { LookAhead, PlanContext, Planner, RoundShape } from "./planner.ts";
import type { Proposer } from "../proposers/proposer.ts";
import { candidatesOf, type Proposing } from "../round/proposing.ts";
import { PENDING, type Proposal } from "../round/round.ts";

export interface StaticTreeOptions {
  /** Tokens that a round yields at best. */
  readonly stride: number;
  readonly maxProposals: number;
  readonly maxMaskRows: number;
}

/** P(the r-th draw at an anchor stands, given that it is reached): what the static tree is best for. */
const PROFILE: readonly number[] = [0.55, 0.15, 0.07];

/** A place in the tree: the `rank`-th draw after the place `parent`. */
interface Place {
  readonly parent: number;
  readonly rank: number;
  readonly depth: number;
  readonly reach: number;
}

/** A draw with its place. */
interface PlacedProposal {
  readonly proposal: Proposal;
  readonly place: Place;
}

/** A place while the tree grows, with what was drawn at it. */
interface Branch {
  /** Index, or PENDING. */
  readonly place: number;
  readonly path: readonly number[];
  /** Undefined: the pending token. */
  readonly drawn: Omit<Proposal, "parent"> | undefined;
  children: readonly Branch[];
}

/**
 * A tree of one shape for the whole request, for rejection and relaxed verification. There a proposal is a draw from q, and
 * verification corrects for q and nothing else. A draw that is kept or dropped, or ranked against its siblings, for what was
 * drawn comes from another distribution than q, and the text would be biased towards what looks sure. So how many draws stand
 * at each place is decided before anything is drawn (as Sequoia does, arXiv 2402.12374, from a fixed profile). That the shape
 * follows no measured time or acceptance also makes the text a function of seed and shape.
 */
export class StaticTreePlanner implements Planner {
  readonly #options: StaticTreeOptions;
  readonly #places: readonly Place[];

  constructor(options: StaticTreeOptions) {
    this.#options = options;
    this.#places = bestPlaces(options.maxProposals, options.stride - 1);
  }

  lookAhead(_proposer: Proposer, { remaining, maxRows }: PlanContext): LookAhead {
    return { depth: Math.min(this.#options.stride, remaining, maxRows) - 1, width: PROFILE.length };
  }

  *plan(context: PlanContext): Proposing<RoundShape> {
    const placed = yield* this.#draw(context);
    return { proposals: placed.map(({ proposal }) => proposal), maskRuns: this.#maskRuns(placed, context) };
  }

  /** The draws at the places of the tree, level by level; in the end in depth-first order. */
  *#draw({ proposers, remaining, maxRows }: PlanContext): Proposing<PlacedProposal[]> {
    const depth = Math.min(this.#options.stride, remaining) - 1;
    const root: Branch = { place: PENDING, path: [], drawn: undefined, children: [] };
    for (let level = [root], below = 1; below <= depth && level.length > 0; below++) {
      const open = level.filter(({ place }) => this.#nChildren(place) > 0);
      yield* this.#drawChildren(proposers, open);
      level = open.flatMap(({ children }) => children);
    }
    const placed: PlacedProposal[] = [];
    const visit = ({ children }: Branch, parent: number) => {
      for (const child of children) {
        if (child.drawn === undefined || placed.length >= maxRows - 1) continue;
        const index =
          placed.push({ proposal: { ...child.drawn, parent }, place: this.#places[child.place] as Place }) - 1;
        visit(child, index);
      }
    };
    visit(root, PENDING);
    return placed;
  }

  /** Draws of the first proposer that has any, for all branches of a level. */
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

  /** By the profile's probability that verification ends at each place. */
  #maskRuns(placed: readonly PlacedProposal[], context: PlanContext): number[] {
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

/** The places of largest reach under the profile, parents before children. */
function bestPlaces(nPlaces: number, depth: number): Place[] {
  const places: Place[] = [];
  const frontier: Place[] = [];
  const expand = (parent: number, own: Pick<Place, "depth" | "reach">) => {
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
