import type { LoadedModel } from "../../src/compute/loaded-model.ts";
import type { SamplerSettings } from "../../src/compute/sampling/settings.ts";
import type { LookAhead, PlanContext, Planner, RoundShape } from "../../src/decoding/planners/planner.ts";
import type { Proposer } from "../../src/decoding/proposers/proposer.ts";
import { Decoder, type SequenceKv } from "../../src/decoding/round/decoder.ts";
import { candidatesAt, type Proposing } from "../../src/decoding/round/proposing.ts";
import {
  layOut,
  type Proposal,
  type RoundPlan,
  type RoundRows,
  type Verification,
} from "../../src/decoding/round/round.ts";
import type { SequenceGrammar } from "../../src/decoding/round/sequence-grammar.ts";
import { mix } from "./fake-cache.ts";
import { chooseRounds } from "./proposing.ts";

/** A sequence to generate. */
export interface SequenceSetup {
  readonly prompt: readonly number[];
  readonly maxTokens: number;
  readonly settings: SamplerSettings;
  readonly verification: Verification;
  readonly planner: Planner;
  readonly proposers: readonly Proposer[];
  readonly maxRun?: number;
  readonly endTokens?: ReadonlySet<number>;
  readonly grammar?: SequenceGrammar | undefined;
}

export interface Completion {
  readonly tokens: number[];
  readonly logprobs: unknown[];
  readonly forwards: number;
  /** Accepted proposals. */
  readonly accepted: number;
  /** Proposals by depth. */
  readonly proposed: readonly number[];
}

export interface GenerateOptions {
  /** Sequences in one forward. */
  readonly batch: number;
  /** Most pending tokens of a sequence in one forward. */
  readonly chunkRows?: number;
  /** Whether to drop the cache of a sequence after a forward. */
  readonly isPreempted?: (index: number, forward: number) => boolean;
  /** Called with each plan before it runs. */
  readonly onPlan?: (plan: RoundPlan) => void;
}

/** Pages of each sequence: prompt, output, and the scratch rows of a round. */
const PAGES = 6;

/** Generates completions, `batch` at a time, each on its own pages. */
export async function generateCompletions(
  model: LoadedModel,
  setups: Iterable<SequenceSetup>,
  { batch, chunkRows = 64, isPreempted = () => false, onPlan = () => {} }: GenerateOptions,
): Promise<Completion[]> {
  const cache = model.createCache(batch * PAGES);
  const waiting = setups[Symbol.iterator]();
  const free = Array.from({ length: batch }, (_, i) => Array.from({ length: PAGES }, (_, j) => j * batch + i));
  const completions: Completion[] = [];
  const running: { index: number; decoder: Decoder; kv: SequenceKv & { tokens: number[] }; logprobs: unknown[] }[] = [];
  let started = 0;
  for (let forward = 0; ; forward++) {
    // All at once, so that drafts share forwards.
    const choosing: Decoder[] = [];
    for (let pages = free.pop(); pages !== undefined; pages = free.pop()) {
      const next = waiting.next();
      if (next.done) break;
      const { maxRun = 7, endTokens = new Set<number>(), settings, ...setup } = next.value;
      const sampler = model.createSampler(settings);
      sampler.prompt(Int32Array.from(setup.prompt));
      const logprobs: unknown[] = [];
      const onToken = ({ logprob, top }: { logprob?: number; top?: unknown }) => {
        if (logprob !== undefined) logprobs.push([logprob, top]);
        return false;
      };
      const decoder = new Decoder({ ...setup, sampler, maxRun, maxRows: 64, endTokens, onToken });
      choosing.push(decoder);
      running.push({ index: started++, decoder, kv: kvOf(cache, pages), logprobs });
    }
    if (running.length === 0) break;
    await chooseRounds(choosing.splice(0));
    const plans = running.map(({ decoder, kv }) => decoder.plan(kv, chunkRows));
    plans.forEach(onPlan);
    const { forest, sampling, rows } = layOut(plans);
    const result = await model.forward(forest, cache, sampling);
    for (let i = running.length - 1; i >= 0; i--) {
      const one = running[i] as (typeof running)[number];
      const { decoder, kv, index } = one;
      const plan = plans[i] as (typeof plans)[number];
      decoder.applyResults(model, kv, plan, result, rows[i] as RoundRows);
      if (decoder.finishReason === undefined) {
        if (plan.sampler !== undefined) choosing.push(decoder);
        if (isPreempted(index, forward)) kv.tokens.length = 0;
        continue;
      }
      const { accepted: acceptedByDepth, proposed } = decoder.acceptance;
      const accepted = acceptedByDepth.reduce((a, b) => a + b, 0);
      const tokens = decoder.tokens.slice(decoder.nPrompt);
      completions[index] = { tokens, logprobs: one.logprobs, forwards: decoder.forwards, accepted, proposed };
      running.splice(i, 1);
      free.push([...kv.pages]);
      await decoder.dispose();
    }
    await chooseRounds(choosing);
  }
  cache.dispose();
  return completions;
}

function kvOf(cache: SequenceKv["cache"], pages: readonly number[]) {
  const tokens: number[] = [];
  return {
    cache,
    pages,
    tokens,
    get length() {
      return tokens.length;
    },
    commit: (more: readonly number[]) => {
      tokens.push(...more);
    },
  };
}

/**
 * Random trees of the given proposers: the numbers of draws at each anchor and the lengths of MASK runs depend only on
 * the seed, not on the draws.
 */
export class RandomPlanner implements Planner {
  readonly #seed: number;
  readonly #depth: number;
  readonly #maxProposals: number;
  #round = 0;

  constructor(seed: number, { depth = 3, maxProposals = 8 } = {}) {
    this.#seed = seed;
    this.#depth = depth;
    this.#maxProposals = maxProposals;
  }

  lookAhead(): LookAhead {
    return { depth: this.#depth, width: 4 };
  }

  *plan({ proposers, remaining, maxRun }: PlanContext): Proposing<RoundShape> {
    let state = mix(this.#seed, this.#round++);
    const next = (n: number) => {
      state = mix(state, 1);
      return state % n;
    };
    const proposals: Proposal[] = [];
    const depth = this.#depth;
    const maxProposals = this.#maxProposals;
    function* grow(parent: number, path: readonly number[]): Proposing<void> {
      if (path.length + 1 >= Math.min(remaining, depth + 1)) return;
      const siblings: Proposal[] = [];
      const first = next(proposers.length + 1);
      for (let i = 0; i < proposers.length; i++) {
        const proposer = proposers[(first + i) % proposers.length] as Proposer;
        const { tokens, confidences, from } = yield* candidatesAt(proposer, path, 1 + next(3));
        tokens.forEach((token, rank) => {
          if (siblings.some((other) => other.token === token)) return;
          siblings.push({ token, parent, source: proposer.kind, rank, confidence: confidences[rank] ?? 0, from });
        });
        if (next(2) === 0) break;
      }
      for (const sibling of siblings) {
        if (proposals.length === maxProposals) return;
        const index = proposals.push(sibling) - 1;
        if (next(4) > 0) yield* grow(index, [...path, sibling.token]);
      }
    }
    yield* grow(-1, []);
    return { proposals, maskRuns: [0, ...proposals].map(() => next(Math.min(maxRun, depth) + 1)) };
  }
}
