import type { ForwardResult, LoadedModel } from "../../compute/loaded-model.ts";
import type { Sampler } from "../../compute/sampling/sampler.ts";
import { neutralSettings } from "../../compute/sampling/settings.ts";
import type { RoundPlan, RoundRows } from "../../decoding/round/round.ts";
import type { ScoredToken } from "../types.ts";

/** Log-probabilities of a prompt's tokens, from the rows that prefill it: each row gives that of the next token. */
export class PromptScores {
  readonly #ids: readonly number[];
  readonly #sampler: Sampler;
  /** Nothing predicts the first token. */
  readonly #scores: ScoredToken[];

  constructor(model: LoadedModel, ids: readonly number[], nTop: number) {
    this.#ids = ids;
    this.#sampler = model.createSampler({ ...neutralSettings, logprobs: nTop });
    this.#scores = ids.slice(0, 1).map((token) => ({ token, logprob: undefined, top: [] }));
  }

  /** Tokens of the prompt whose rows have run; only these may come from the prefix cache. */
  get nScoredRows(): number {
    return this.#scores.length - 1;
  }

  /** All of them; undefined: not yet. */
  get complete(): readonly ScoredToken[] | undefined {
    return this.#scores.length === this.#ids.length ? this.#scores : undefined;
  }

  /** The plan, with a draw for each of its rows that a token of the prompt follows, for the log-probability of that token. */
  addTo(plan: RoundPlan): RoundPlan {
    const { sequence, pending } = plan;
    const first = sequence.length + 1;
    return { ...plan, scored: { sampler: this.#sampler, tokens: this.#ids.slice(first, first + pending.length) } };
  }

  /** Takes the results of a plan, before its tokens are committed. @throws the failure of a draw. */
  add({ sequence, scored }: RoundPlan, { drawn }: ForwardResult, { firstScore }: RoundRows): void {
    const tokens = scored?.tokens ?? [];
    for (const [i, token] of tokens.entries()) {
      const { logprob, top = [], failure } = drawn[firstScore + i] ?? {};
      if (failure !== undefined) throw failure;
      if (logprob === undefined) throw new Error("a draw came without its log-probability");
      // Rows of a sequence that was preempted run again.
      this.#scores[sequence.length + 1 + i] = { token, logprob, top };
    }
  }
}
