import { bestPrefix } from "../round/best-prefix.ts";
import type { Candidate } from "../round/candidate-tree.ts";
import type { MaskRow } from "../round/mask-runs.ts";

/** What one sequence's next round may hold. */
export interface Bid {
  /** By descending reach, parents before children. */
  readonly candidates: readonly Candidate[];
  /** So many candidates and MASK rows are taken whatever they cost. */
  readonly given: { readonly proposals: number; readonly maskRows: number };
  /** MASK rows beside the first n candidates, the most valuable first. */
  maskRows(n: number): readonly MaskRow[];
  /** Price of a row's context, in tokens. */
  readonly contextRow: number;
}

/** What a step's rows cost, in tokens, without their context. */
export interface StepPrices {
  /** Of n proposals of all sequences together. */
  proposals(n: number): number;
  /** Of n MASK rows of all together beside `nProposals`: the adapter's bytes, and theirs. */
  maskRows(n: number, nProposals: number): number;
}

/** What one sequence's next round holds. */
export interface Choice {
  /** The first so many candidates. */
  readonly nProposals: number;
  readonly maskRows: readonly MaskRow[];
  /** Its share of the price of all proposals, and of all MASK rows. */
  readonly proposalsPrice: number;
  readonly masksPrice: number;
}

/** What rows have to be worth over their price: both are estimates, and where they are equal proposing gains nothing. */
export const MARGIN = 1.1;

interface Item {
  readonly owner: number;
  readonly value: number;
}

/**
 * Chooses the rows of all sequences of a step together: those worth most, as many as pay what they cost together. Time is no
 * sum over sequences: where rows get cheaper the more there are, each one's choice by itself would count on the others' rows
 * or miss what only all together pay for.
 */
export function chooseTogether(bids: readonly Bid[], prices: StepPrices, most: number): Choice[] {
  const nProposals = bids.map(({ candidates, given }) => Math.min(given.proposals, candidates.length));
  const proposals = bids.flatMap(({ candidates, contextRow }, owner) =>
    candidates.slice(nProposals[owner]).map(({ reach }) => ({ owner, value: reach - contextRow })),
  );
  const givenProposals = sum(nProposals);
  take(
    proposals,
    (n) => prices.proposals(givenProposals + n) - prices.proposals(givenProposals),
    most,
    (owner) => {
      nProposals[owner] = (nProposals[owner] ?? 0) + 1;
    },
  );
  const total = sum(nProposals);

  const offered = bids.map((bid, owner) => bid.maskRows(nProposals[owner] ?? 0));
  const nMasks = bids.map(({ given }, owner) => Math.min(given.maskRows, offered[owner]?.length ?? 0));
  const masks = offered.flatMap((rows, owner) =>
    rows.slice(nMasks[owner]).map(({ value }) => ({ owner, value: value - (bids[owner]?.contextRow ?? 0) })),
  );
  const givenMasks = sum(nMasks);
  const givenPrice = prices.maskRows(givenMasks, total);
  const priceOf = (n: number) => prices.maskRows(givenMasks + n, total) - givenPrice;
  take(masks, priceOf, most - total, (owner) => {
    nMasks[owner] = (nMasks[owner] ?? 0) + 1;
  });
  const totalMasks = sum(nMasks);

  const eachProposal = total === 0 ? 0 : prices.proposals(total) / total;
  const eachMask = totalMasks === 0 ? 0 : prices.maskRows(totalMasks, total) / totalMasks;
  return bids.map(({ contextRow }, owner) => {
    const [n = 0, m = 0] = [nProposals[owner], nMasks[owner]];
    const maskRows = (offered[owner] ?? []).slice(0, m);
    return {
      ...{ nProposals: n, maskRows },
      ...{ proposalsPrice: n * (eachProposal + contextRow), masksPrice: m * (eachMask + contextRow) },
    };
  });
}

/** Takes the most valuable items, as many as pay their price. One owner's are in descending order, and are taken in it. */
function take(items: Item[], price: (n: number) => number, most: number, onTaken: (owner: number) => void): void {
  // Stable.
  items.sort((a, b) => b.value - a.value);
  const values = items.map(({ value }) => value / MARGIN);
  for (const { owner } of items.slice(0, bestPrefix(values, price, most))) onTaken(owner);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
