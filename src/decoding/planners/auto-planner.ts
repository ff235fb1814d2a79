import type { SequenceAcceptance } from "../controller/acceptance-model.ts";
import { type Bid, type Choice, MARGIN } from "../controller/joint-choice.ts";
import { Ledger } from "../controller/ledger.ts";
import type { Attempt, Machine } from "../controller/machine.ts";
import type { LookAhead, PlanContext, Planner, RoundShape } from "./planner.ts";
import type { Proposer } from "../proposers/proposer.ts";
import { TreeOffers } from "./tree-offers.ts";

/** Rounds after which what a text was like counts 1/e where nothing new is seen of it. */
const AGE = 300;
/** Proposals, and MASK rows, that a sequence may have at most. */
const MOST_ROWS = 24;
/** Price of a proposal, in tokens, from which on only those are asked who are likely to have something. */
const DEAR = 0.5;
/** As likely as anything ever is to stand: proposals that cost more, with their margin, are not asked for. */
const SUREST = 0.9;
/** What is asked for in trials, whatever it costs. */
const LEAST_TRIED = 0.05;

const given: Readonly<Record<Attempt | "none", Bid["given"]>> = {
  trial: { proposals: 1, maskRows: 2 },
  exploring: { proposals: 0, maskRows: 1 },
  none: { proposals: 0, maskRows: 0 },
};

/** Rounds of one sequence as the controller chooses them, together with those of the sequences beside it. */
export class AutoPlanner implements Planner {
  readonly #machine: Machine;
  readonly #acceptance: SequenceAcceptance;
  readonly #offers: TreeOffers;
  readonly #ledger = new Ledger();
  /** Of the last round, where it was chosen for what it gains: tokens that its proposals are expected to yield, and its price. */
  #stake: { readonly expected: number; readonly price: number } | undefined;
  /** Tokens that its MASK rows cost: they are to be gained in the next one. */
  #invested = 0;
  #hasAsked = false;

  constructor(
    machine: Machine,
    acceptance: SequenceAcceptance,
    { stride, width }: { readonly stride: number; readonly width: number },
  ) {
    this.#machine = machine;
    machine.addText();
    this.#acceptance = acceptance;
    this.#offers = new TreeOffers({ acceptance, stride, width });
  }

  /** As deep as drafting pays: each drafted token costs a step of the draft model, and a row to verify. */
  lookAhead(proposer: Proposer, context: PlanContext): LookAhead {
    if (this.#machine.isResting) return { depth: 0, width: 0 };
    const { prices, leastProposal } = this.#machine;
    if (!this.#mayAsk(context, leastProposal)) return { depth: 0, width: 0 };
    const { depth: most, width } = this.#offers.lookAhead(context);
    const draft = prices.draftedToken;
    const row = prices.proposal + prices.contextRow(context.position);
    let depth = 0;
    let gain = 0;
    let best = 0;
    let survival = 1;
    for (let i = 1; i <= most; i++) {
      survival *= this.#acceptance.ahead(proposer.kind, 0, i);
      gain += survival * (1 - this.#offers.othersAt(i, proposer.kind)) - draft - row;
      if (gain > best) {
        best = gain;
        depth = i;
      }
    }
    if (depth === 0 && most > 0 && this.#machine.mayExplore(draft)) depth = 1;
    return { depth, width };
  }

  plan(context: PlanContext): RoundShape {
    this.#stake = undefined;
    const machine = this.#machine;
    if (machine.isResting) return this.#rest();
    const { prices, maxExtra } = machine;
    const contextRow = prices.contextRow(context.position);
    const leastReach = machine.leastProposal + contextRow;
    const attempt = context.maxRun === 0 ? undefined : machine.attempt(prices.maskRows(1, 0) + contextRow);
    if (attempt === undefined && !this.#mayAsk(context, leastReach)) return this.#rest();
    this.#acceptance.age(AGE);
    const most = Math.min(MOST_ROWS, maxExtra);
    const limits = {
      nCandidates: attempt === "trial" ? Math.max(1, most) : most,
      leastReach: attempt === "trial" ? Math.min(leastReach, LEAST_TRIED) : leastReach,
      asking: prices.asking,
    };
    const candidates = machine.asking(
      () => this.#offers.grow(context, limits),
      () => this.#offers.nAsked,
      { isFirst: !this.#hasAsked },
    );
    this.#hasAsked = true;
    const nextProposal = attempt === undefined ? prices.proposal + contextRow : 0;
    const bid: Bid = {
      ...{ candidates, contextRow, given: given[attempt ?? "none"] },
      maskRows: (n) => this.#offers.maskRows(candidates.slice(0, n), nextProposal, context).slice(0, Math.max(2, most)),
    };
    return machine.offer(bid, attempt, (choice) => this.#settle(bid, choice, attempt));
  }

  learn(_shape: RoundShape, path: readonly number[], drawn: readonly number[]): void {
    this.#offers.learn(path, drawn);
    if (this.#stake === undefined) return;
    this.#ledger.add(Math.max(0, drawn.length - 1), this.#stake.expected, this.#stake.price);
  }

  #settle({ candidates }: Bid, { nProposals, ...price }: Choice, attempt: Attempt | undefined): void {
    const invested = this.#invested;
    this.#invested = attempt === undefined ? price.masksPrice : 0;
    if (attempt !== undefined) return;
    this.#stake = {
      expected: candidates.slice(0, nProposals).reduce((sum, { reach }) => sum + reach, 0),
      price: invested + this.#offers.nAsked * this.#machine.prices.asking + price.proposalsPrice,
    };
  }

  #rest(): RoundShape {
    this.#ledger.pass();
    this.#offers.rest();
    this.#invested = 0;
    return this.#machine.rest();
  }

  #mayAsk({ proposers }: PlanContext, leastReach: number): boolean {
    if (leastReach * MARGIN > SUREST) return false;
    const isPromising = proposers.some((proposer) => proposer.isPromising ?? true);
    return (isPromising || leastReach < DEAR) && this.#ledger.mayAsk(isPromising);
  }
}
