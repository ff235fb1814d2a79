import type { SequenceAcceptance } from "../controller/acceptance-model.ts";
import { MAX_ROWS, type RoundPlanner } from "../controller/round-planner.ts";
import type { Proposer } from "../proposers/proposer.ts";
import type { Proposing } from "../round/proposing.ts";
import type { LookAhead, OpenRound, PlanContext, Planner, RoundShape } from "./planner.ts";
import { TreeProposals } from "./tree-proposals.ts";

/** Rounds of one sequence, chosen by the controller together with those of the other sequences. */
export class AutoPlanner implements Planner {
  readonly #rounds: RoundPlanner;
  readonly #acceptance: SequenceAcceptance;
  readonly #tree: TreeProposals;

  constructor(
    rounds: RoundPlanner,
    acceptance: SequenceAcceptance,
    { stride, width }: { readonly stride: number; readonly width: number },
  ) {
    this.#rounds = rounds;
    this.#acceptance = acceptance;
    this.#tree = new TreeProposals({ acceptance, stride, width });
  }

  /** The depth to which drafting pays: each drafted token costs a step of the draft model and a row to verify. */
  lookAhead(proposer: Proposer, context: PlanContext): LookAhead {
    const rounds = this.#rounds;
    if (rounds.isPlain) return { depth: 0, width: 0 };
    const { depth: most, width } = this.#tree.lookAhead(context);
    const price = rounds.draftedToken + rounds.price(1, 0) + rounds.contextRow(context.position);
    let depth = 0;
    let gain = 0;
    let best = 0;
    let survival = 1;
    for (let i = 1; i <= most; i++) {
      survival *= this.#acceptance.ahead(proposer.kind, i);
      gain += survival - price;
      if (gain > best) {
        best = gain;
        depth = i;
      }
    }
    if (depth === 0 && most > 0 && rounds.explores(price)) depth = 1;
    return { depth, width };
  }

  *plan(context: PlanContext): Proposing<OpenRound> {
    const rounds = this.#rounds;
    if (rounds.isPlain) return this.#planPlain();
    const contextRow = rounds.contextRow(context.position);
    const leastReach = rounds.minProposalPrice + contextRow;
    const explores = context.maxRun > 0 && rounds.exploresMasks(contextRow);
    // Even certain tokens would not pay.
    if (leastReach >= 1 && !explores) return this.#planPlain();
    const candidates = yield* this.#tree.grow(context, { nCandidates: MAX_ROWS, leastReach });
    return rounds.bid({
      ...{ candidates, contextRow, nGivenMasks: explores ? 1 : 0 },
      maskRows: (n) => this.#tree.maskRows(candidates.slice(0, n), leastReach, context).slice(0, MAX_ROWS),
    });
  }

  learn(_shape: RoundShape, path: readonly number[], drawn: readonly number[]): void {
    this.#tree.learn(path, drawn);
  }

  #planPlain(): OpenRound {
    this.#tree.skip();
    return this.#rounds.bid(undefined);
  }
}
