import { bestPrefix } from "../round/best-prefix.ts";
import type { Candidate } from "../round/candidate-tree.ts";
import type { MaskRow } from "../round/mask-runs.ts";

/** Rows that one sequence's next round may have. */
export interface Bid {
  /** By descending probability of being reached, parents before children. */
  readonly candidates: readonly Candidate[];
  /** MASK rows for a round with the first n candidates, the most valuable first. */
  maskRows(n: number): readonly MaskRow[];
  /** The first MASK rows, which are included whatever their price. */
  readonly nGivenMasks: number;
  /** Price of a row's context, in tokens. */
  readonly contextRow: number;
}

/** Price of the additional rows of a step, over all sequences, in tokens and without their context. */
export type StepPrice = (nProposals: number, nMasks: number) => number;

/** Rows of one sequence's next round. */
export interface Choice {
  /** Number of candidates included, from the first. */
  readonly nProposals: number;
  readonly maskRows: readonly MaskRow[];
}

/**
 * Chooses the rows of all sequences of a step jointly: the most valuable ones, as many as are worth their total price, first
 * proposals (beside `nMasks` MASK rows), then MASK rows. The time of a step is not a sum over sequences: if rows get cheaper
 * with their number, separate choices would either rely on the rows of others or reject rows that only pay together.
 */
export function chooseTogether(bids: readonly Bid[], price: StepPrice, most: number, nMasks = 0): Choice[] {
  const proposals = bids.map(({ candidates, contextRow }) => candidates.map(({ reach }) => reach - contextRow));
  const beside = price(0, nMasks);
  const chosen = mostValuable(proposals, noneGiven(bids), (n) => price(n, nMasks) - beside, most);
  const total = sum(chosen);
  const offered = bids.map((bid, i) => bid.maskRows(chosen[i] ?? 0));
  const masks = offered.map((rows, i) => rows.map(({ value }) => value - (bids[i]?.contextRow ?? 0)));
  const given = bids.map(({ nGivenMasks }, i) => Math.min(nGivenMasks, offered[i]?.length ?? 0));
  const without = price(total, 0);
  const chosenMasks = mostValuable(masks, given, (n) => price(total, n) - without, most - total);
  return chosen.map((nProposals, i) => ({ nProposals, maskRows: (offered[i] ?? []).slice(0, chosenMasks[i]) }));
}

const noneGiven = (bids: readonly Bid[]) => bids.map(() => 0);

/**
 * How many values of each list, in descending order, are taken: the given ones, and of all others the largest, as many as are
 * worth their price.
 */
function mostValuable(
  lists: readonly (readonly number[])[],
  given: readonly number[],
  price: (n: number) => number,
  most: number,
): number[] {
  const taken = [...given];
  const items: { readonly owner: number; readonly value: number }[] = [];
  for (const [owner, values] of lists.entries()) {
    for (let i = given[owner] ?? 0; i < values.length; i++) items.push({ owner, value: values[i] ?? 0 });
  }
  if (items.length === 0) return taken;
  // A stable sort: keeps the order of equal items of one owner.
  if (lists.length > 1) items.sort((a, b) => b.value - a.value);
  const nGiven = sum(given);
  const base = price(nGiven);
  const values = items.map(({ value }) => value);
  const n = bestPrefix(values, (more) => price(nGiven + more) - base, most);
  for (const { owner } of items.slice(0, n)) taken[owner] = (taken[owner] ?? 0) + 1;
  return taken;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
