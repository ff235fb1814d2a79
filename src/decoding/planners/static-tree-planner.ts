import { maskRowsByValue, runAnchors, runLengths } from "../round/mask-runs.ts";
import type { LookAhead, PlanContext, Planner, RoundShape } from "./planner.ts";
import type { Proposer } from "../proposers/proposer.ts";
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

/**
 * A tree of one form for the whole request, for rejection and relaxed verification. There a proposal is a draw from q, and
 * verification corrects for q and nothing else. A draw that is kept or dropped, or ranked against its siblings, for what was
 * drawn comes from another distribution than q, and the text would be biased towards what looks sure. So how many draws stand
 * at each place is decided before anything is drawn (as Sequoia does, arXiv 2402.12374, from a fixed profile). That the form
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

  plan(context: PlanContext): RoundShape {
    const proposals = this.#draw(context);
    return { proposals: proposals.map(({ proposal }) => proposal), maskRuns: this.#maskRuns(proposals, context) };
  }

  #draw({ proposers, remaining, maxRows }: PlanContext): { proposal: Proposal; place: Place }[] {
    const drawn: { proposal: Proposal; place: Place }[] = [];
    const depth = Math.min(this.#options.stride, remaining) - 1;
    const nChildren = (place: number) => this.#places.filter(({ parent }) => parent === place).length;
    const visit = (place: number, parent: number, path: readonly number[]) => {
      const count = nChildren(place);
      if (path.length >= depth || count === 0) return;
      const offered = firstOffer(proposers, path, count, parent);
      for (const proposal of offered) {
        const own = this.#places.findIndex((other) => other.parent === place && other.rank === proposal.rank);
        const at = this.#places[own];
        if (at === undefined || drawn.length >= maxRows - 1) continue;
        const index = drawn.push({ proposal, place: at }) - 1;
        visit(own, index, [...path, proposal.token]);
      }
    };
    visit(PENDING, PENDING, []);
    return drawn;
  }

  /** By the profile's probability that verification ends at each place. */
  #maskRuns(drawn: readonly { proposal: Proposal; place: Place }[], context: PlanContext): number[] {
    const { remaining, maxRun, maxRows } = context;
    const { stride, maxMaskRows } = this.#options;
    const longest = Math.min(stride - 1, maxRun);
    const places = drawn.map(({ proposal, place }) => ({ ...place, parent: proposal.parent }));
    const anchors = runAnchors(places, longest, remaining);
    const worth = Array.from({ length: longest }, (_, i) => (PROFILE[0] ?? 0) ** (i + 1));
    const rows = maskRowsByValue(anchors, worth).slice(0, Math.min(maxMaskRows, maxRows - 1 - drawn.length));
    return runLengths(rows, anchors.length);
  }
}

/** Draws of the first proposer that has any. */
function firstOffer(
  proposers: readonly Proposer[],
  path: readonly number[],
  count: number,
  parent: number,
): readonly Proposal[] {
  for (const proposer of proposers) {
    const { tokens, confidences, from } = proposer.candidates(path, count);
    if (tokens.length === 0) continue;
    return Array.from(tokens, (token, rank) => {
      return { token, parent, source: proposer.kind, rank, confidence: confidences[rank] ?? 0, from };
    });
  }
  return [];
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
