import type { SequenceAcceptance } from "../controller/acceptance-model.ts";
import { type Bid, type Choice, MARGIN } from "../controller/joint-choice.ts";
import { Ledger } from "../controller/ledger.ts";
import type { Attempt, RoundPlanner } from "../controller/round-planner.ts";
import type { Proposer } from "../proposers/proposer.ts";
import type { Proposing } from "../round/proposing.ts";
import type { LookAhead, OpenRound, PlanContext, Planner, RoundShape } from "./planner.ts";
import { TreeProposals } from "./tree-proposals.ts";

/** Rounds without observations after which a sequence's acceptance counts 1/e. */
const AGE = 300;
/** Most proposals, and MASK rows, of a sequence. */
const MOST_ROWS = 24;
/** Price of a proposal, in tokens, above which only promising proposers are called. */
const EXPENSIVE = 0.5;
/** Highest acceptance that occurs: more expensive proposals, margin included, are not requested. */
const HIGHEST_ACCEPTANCE = 0.9;
/** Least reach of a candidate in a trial. */
const LEAST_TRIED = 0.05;

const given: Readonly<Record<Attempt | "none", Bid["given"]>> = {
  trial: { proposals: 1, maskRows: 2 },
  exploring: { proposals: 0, maskRows: 1 },
  none: { proposals: 0, maskRows: 0 },
};

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
    rounds.addSequence();
    this.#acceptance = acceptance;
    this.#tree = new TreeProposals({ acceptance, stride, width });
  }

  /** The depth to which drafting pays: each drafted token costs a step of the draft model and a row to verify. */
  lookAhead(proposer: Proposer, context: PlanContext): LookAhead {
    if (this.#rounds.isPaused) return { depth: 0, width: 0 };
    const { prices, leastProposal } = this.#rounds;
    if (!this.#shouldPropose(context, leastProposal)) return { depth: 0, width: 0 };
    const { depth: most, width } = this.#tree.lookAhead(context);
    const draft = prices.draftedToken;
    const row = prices.proposal + prices.contextRow(context.position);
    let depth = 0;
    let gain = 0;
    let best = 0;
    let survival = 1;
    for (let i = 1; i <= most; i++) {
      survival *= this.#acceptance.ahead(proposer.kind, 0, i);
      gain += survival * (1 - this.#tree.othersAt(i, proposer.kind)) - draft - row;
      if (gain > best) {
        best = gain;
        depth = i;
      }
    }
    if (depth === 0 && most > 0 && this.#rounds.spendCredit(draft)) depth = 1;
    return { depth, width };
  }

  *plan(context: PlanContext): Proposing<OpenRound> {
    this.#stake = undefined;
    const rounds = this.#rounds;
    if (rounds.isPaused) return this.#planPlain();
    const { prices, maxExtra } = rounds;
    const contextRow = prices.contextRow(context.position);
    const leastReach = rounds.leastProposal + contextRow;
    const attempt = context.maxRun === 0 ? undefined : rounds.attempt(prices.maskRows(1, 0) + contextRow);
    if (attempt === undefined && !this.#shouldPropose(context, leastReach)) return this.#planPlain();
    this.#acceptance.age(AGE);
    const most = Math.min(MOST_ROWS, maxExtra);
    const limits = {
      nCandidates: attempt === "trial" ? Math.max(1, most) : most,
      leastReach: attempt === "trial" ? Math.min(leastReach, LEAST_TRIED) : leastReach,
      anchorCost: prices.anchor,
    };
    const candidates = yield* this.#tree.grow(context, limits);
    rounds.countAnchors(this.#tree.nAnchors, { isFirst: !this.#hasProposed });
    this.#hasProposed = true;
    const nextProposal = attempt === undefined ? prices.proposal + contextRow : 0;
    const bid: Bid = {
      ...{ candidates, contextRow, given: given[attempt ?? "none"] },
      maskRows: (n) => this.#tree.maskRows(candidates.slice(0, n), nextProposal, context).slice(0, Math.max(2, most)),
    };
    return rounds.bid(bid, attempt, (choice) => this.#onChosen(bid, choice, attempt));
  }

  learn(_shape: RoundShape, path: readonly number[], drawn: readonly number[]): void {
    this.#tree.learn(path, drawn);
    if (this.#stake === undefined) return;
    this.#ledger.add(Math.max(0, drawn.length - 1), this.#stake.expected, this.#stake.price);
  }

  #onChosen({ candidates }: Bid, { nProposals, ...price }: Choice, attempt: Attempt | undefined): void {
    const invested = this.#invested;
    this.#invested = attempt === undefined ? price.masksPrice : 0;
    if (attempt !== undefined) return;
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

  #shouldPropose({ proposers }: PlanContext, leastReach: number): boolean {
    if (leastReach * MARGIN > HIGHEST_ACCEPTANCE) return false;
    const isPromising = proposers.some((proposer) => proposer.isPromising ?? true);
    return (isPromising || leastReach < EXPENSIVE) && this.#ledger.shouldPropose(isPromising);
  }
}
