import type { SequenceAcceptance } from "../controller/acceptance-model.ts";
import { type Bid, type Choice, MARGIN } from "../controller/joint-choice.ts";
import { Ledger } from "../controller/ledger.ts";
import type { RoundPlanner } from "../controller/round-planner.ts";
import type { Proposer } from "../proposers/proposer.ts";
import type { Proposing } from "../round/proposing.ts";
import type { LookAhead, OpenRound, PlanContext, Planner, RoundShape } from "./planner.ts";
import { TreeProposals } from "./tree-proposals.ts";

/** Most proposals, and MASK rows, of a sequence. */
const MOST_ROWS = 24;

/** Rounds of one sequence, chosen by the controller together with those of the other sequences. */
export class AutoPlanner implements Planner {
  readonly #rounds: RoundPlanner;
  readonly #acceptance: SequenceAcceptance;
  readonly #tree: TreeProposals;
  readonly #ledger = new Ledger();
  /** Expected number of accepted proposals and price of the last round, if it was chosen for its gain. */
  #stake: { readonly expected: number; readonly price: number } | undefined;
  /** Price of its MASK rows, in tokens; they pay off in the next round. */
  #invested = 0;
  #hasProposed = false;

  constructor(
    rounds: RoundPlanner,
    acceptance: SequenceAcceptance,
    { stride, width }: { readonly stride: number; readonly width: number },
  ) {
    this.#rounds = rounds;
    rounds.exploration.addSequence();
    this.#acceptance = acceptance;
    this.#tree = new TreeProposals({ acceptance, stride, width });
  }

  /** The depth to which drafting pays: each drafted token costs a step of the draft model and a row to verify. */
  lookAhead(proposer: Proposer, context: PlanContext): LookAhead {
    if (this.#rounds.isPaused) return { depth: 0, width: 0 };
    const { prices, leastProposal } = this.#rounds;
    if (!this.#shouldPropose(leastProposal)) return { depth: 0, width: 0 };
    const { depth: most, width } = this.#tree.lookAhead(context);
    const draft = prices.draftedToken;
    const row = prices.proposal + prices.contextRow(context.position);
    let depth = 0;
    let gain = 0;
    let best = 0;
    let survival = 1;
    for (let i = 1; i <= most; i++) {
      survival *= this.#acceptance.ahead(proposer.kind, 0, i);
      gain += survival - draft - row;
      if (gain > best) {
        best = gain;
        depth = i;
      }
    }
    if (depth === 0 && most > 0 && this.#rounds.exploration.spend(draft)) depth = 1;
    return { depth, width };
  }

  *plan(context: PlanContext): Proposing<OpenRound> {
    this.#stake = undefined;
    const rounds = this.#rounds;
    if (rounds.isPaused) return this.#planPlain();
    const { prices, maxExtra } = rounds;
    const contextRow = prices.contextRow(context.position);
    const leastReach = rounds.leastProposal + contextRow;
    const explores = context.maxRun > 0 && rounds.exploration.takesMaskRow(prices.maskRows(1, 0) + contextRow);
    if (!explores && !this.#shouldPropose(leastReach)) return this.#planPlain();
    const most = Math.min(MOST_ROWS, maxExtra);
    const candidates = yield* this.#tree.grow(context, { nCandidates: most, leastReach, anchorCost: prices.anchor });
    rounds.proposingTime.count(this.#tree.nAnchors, !this.#hasProposed);
    this.#hasProposed = true;
    const nextProposal = explores ? 0 : prices.proposal + contextRow;
    const bid: Bid = {
      ...{ candidates, contextRow, nGivenMasks: explores ? 1 : 0 },
      maskRows: (n) => this.#tree.maskRows(candidates.slice(0, n), nextProposal, context).slice(0, Math.max(2, most)),
    };
    return rounds.bid(bid, (choice) => this.#onChosen(bid, choice));
  }

  learn(_shape: RoundShape, path: readonly number[], drawn: readonly number[]): void {
    this.#tree.learn(path, drawn);
    if (this.#stake === undefined) return;
    this.#ledger.add(Math.max(0, drawn.length - 1), this.#stake.expected, this.#stake.price);
  }

  #onChosen({ candidates, nGivenMasks }: Bid, { nProposals, ...price }: Choice): void {
    const invested = this.#invested;
    this.#invested = nGivenMasks === 0 ? price.masksPrice : 0;
    if (nGivenMasks > 0) return;
    this.#stake = {
      expected: candidates.slice(0, nProposals).reduce((sum, { reach }) => sum + reach, 0),
      price: invested + this.#tree.nAnchors * this.#rounds.prices.anchor + price.proposalsPrice,
    };
  }

  #planPlain(): OpenRound {
    this.#ledger.skip();
    this.#tree.skip();
    this.#invested = 0;
    return this.#rounds.bidNothing();
  }

  /** Not if even certain tokens would not pay. */
  #shouldPropose(leastReach: number): boolean {
    return leastReach * MARGIN < 1 && this.#ledger.shouldPropose;
  }
}
