import { PENDING, type Proposal, proposalDepths } from "../round/round.ts";

/** Counts of proposals by depth; index 0 is depth 1. */
export class Acceptance {
  readonly proposed: number[] = [];
  readonly accepted: number[] = [];
  /** Proposals of each proposer. */
  readonly bySource = new Map<string, { proposed: number; accepted: number }>();
  /** Proposals whose ancestors were all accepted. */
  readonly #reached: number[] = [];

  /** `path`: the accepted proposals. `nDrawn`: tokens drawn in the round; deeper proposals were not verified. */
  add(proposals: readonly Proposal[], path: readonly number[], nDrawn: number): void {
    for (const { source } of proposals) this.#ofSource(source).proposed++;
    for (const index of path) this.#ofSource((proposals[index] as Proposal).source).accepted++;
    const depths = proposalDepths(proposals);
    const deepest = Math.max(0, ...depths);
    for (let depth = 1; depth <= deepest; depth++) {
      this.#count(this.proposed, depth, true);
      const before = depth === 1 ? PENDING : path[depth - 2];
      const isReached = depth <= nDrawn && proposals.some(({ parent }) => parent === before);
      this.#count(this.#reached, depth, isReached);
      this.#count(this.accepted, depth, isReached && path.length >= depth);
    }
  }

  /** p_i: share of reached proposals that were accepted. */
  get byDepth(): number[] {
    return this.accepted.map((accepted, i) => accepted / Math.max(1, this.#reached[i] ?? 0));
  }

  #ofSource(source: string): { proposed: number; accepted: number } {
    const known = this.bySource.get(source) ?? { proposed: 0, accepted: 0 };
    this.bySource.set(source, known);
    return known;
  }

  #count(counts: number[], depth: number, isOne: boolean): void {
    counts[depth - 1] = (counts[depth - 1] ?? 0) + (isOne ? 1 : 0);
  }
}
