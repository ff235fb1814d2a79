import { chainOf, type Proposal } from "./round.ts";

/** The MASK run off the token that was verified last, in the forward that verified it. */
export interface MaskRun {
  readonly length: number;
  /**
   * The `count` best tokens of MASK j (from 0), best first, given the tokens that are proposed before it, the pending
   * token's successors. Valid until the next forward.
   */
  propose(j: number, before: readonly number[], count: number): Int32Array;
}

/** Where proposals come from. One for each generation. */
export interface Proposer {
  /** Whether it draws from MASK runs. */
  readonly usesMasks: boolean;
  /** Tokens that became final, in order; the prompt first. */
  observe(tokens: readonly number[]): void;
  /**
   * Proposals to follow the last observed token, at most `depth` deep, parents before children. `masks` is undefined
   * where there is no run to draw from: in the first round, and after a rejection in a chain (a cold start).
   */
  propose(depth: number, masks: MaskRun | undefined): readonly Proposal[];
}

/** Plain decoding. */
export const noProposer: Proposer = {
  usesMasks: false,
  observe() {},
  propose: () => [],
};

/** Each MASK row's best token, given the one before. */
export const maskProposer: Proposer = {
  usesMasks: true,
  observe() {},
  propose(depth, masks) {
    const tokens: number[] = [];
    for (let j = 0; j < Math.min(depth, masks?.length ?? 0); j++) {
      const [token] = masks?.propose(j, tokens, 1) ?? [];
      // An adapter's draft vocabulary may hold no token that is allowed here.
      if (token === undefined) break;
      tokens.push(token);
    }
    return chainOf(tokens);
  },
};
