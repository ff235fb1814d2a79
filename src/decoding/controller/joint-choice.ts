import { bestPrefix } from "../round/best-prefix.ts";
import type { Candidate } from "../round/candidate-tree.ts";
import type { MaskRow } from "../round/mask-runs.ts";

/** Rows that one sequence's next round may have. */
export interface Bid {
  /** By descending probability of being reached, parents before children. */
  readonly candidates: readonly Candidate[];
  /** The first MASK rows, which are included whatever their price. */
  readonly nGivenMasks: number;
  /** MASK rows for a round with the first n candidates, the most valuable first. */
  maskRows(n: number): readonly MaskRow[];
  /** Price of a row's context, in tokens. */
  readonly contextRow: number;
}

/** Prices of a step's rows in tokens, without their context. */
export interface StepPrices {
  /** Price of n proposals, over all sequences. */
  proposals(n: number): number;
  /** Price of n MASK rows over all sequences, in a step with `nProposals` proposals; includes reading the adapter. */
  maskRows(n: number, nProposals: number): number;
}

/** Rows of one sequence's next round. */
export interface Choice {
  /** Number of candidates included, from the first. */
  readonly nProposals: number;
  readonly maskRows: readonly MaskRow[];
  /** Its shares of the prices of all proposals and of all MASK rows. */
  readonly proposalsPrice: number;
  readonly masksPrice: number;
}

/** Least ratio of a row's value to its price. Both are estimates, and at equality proposing gains nothing. */
export const MARGIN = 1.1;

interface Item {
  readonly owner: number;
  readonly value: number;
}

/**
 * Chooses the rows of all sequences of a step jointly: the most valuable ones, as many as are worth their total price. The time
 * of a step is not a sum over sequences: if rows get cheaper with their number, separate choices would either rely on the rows of
 * others or reject rows that only pay together.
 */
export function chooseTogether(bids: readonly Bid[], prices: StepPrices, most: number): Choice[] {
  const nProposals = bids.map(() => 0);
  const proposals = bids.flatMap(({ candidates, contextRow }, owner) =>
    candidates.map(({ reach }) => ({ owner, value: reach - contextRow })),
  );
  const priceOfProposals = (n: number) => prices.proposals(n);
  take(proposals, priceOfProposals, most, (owner) => {
    nProposals[owner] = (nProposals[owner] ?? 0) + 1;
  });
  const total = sum(nProposals);

  const offered = bids.map((bid, owner) => bid.maskRows(nProposals[owner] ?? 0));
  const nMasks = bids.map(({ nGivenMasks }, owner) => Math.min(nGivenMasks, offered[owner]?.length ?? 0));
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

/** Takes the most valuable items, as many as are worth their price. Items of one owner must be in descending order. */
function take(items: Item[], price: (n: number) => number, most: number, onTaken: (owner: number) => void): void {
  // A stable sort: keeps the order of equal items of one owner.
  items.sort((a, b) => b.value - a.value);
  const values = items.map(({ value }) => value / MARGIN);
  for (const { owner } of items.slice(0, bestPrefix(values, price, most))) onTaken(owner);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
