import { sineCosine } from "../compute/elementary.ts";

/** Share of a run in which the learning rate rises to its peak. */
const WARM_UP = 0.03;

/**
 * Factor on the learning rate after a share of the run, from 0 to 1: it rises in proportion during the first 3 %, and falls
 * to 0 along half a cosine. `shareAfter` is the share when the step is done, so that the first step has a rate above 0.
 */
export function learningRateFactor(share: number, shareAfter: number): number {
  return Math.min(1, shareAfter / WARM_UP) * (0.5 + 0.5 * cosineOfHalfTurn(share));
}

/** cos πx for x from 0 to 1. */
function cosineOfHalfTurn(x: number): number {
  return sineCosine(Math.PI * Math.min(1, Math.max(0, x)))[1];
}
