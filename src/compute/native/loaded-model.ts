import type { Forest } from "../forest/forest.ts";
import { layOutForest } from "../forest/layout.ts";
import type { ForwardResult, KvCache, LoadedModel, SamplingRequests } from "../loaded-model.ts";
import type { Program } from "../program/program.ts";
import { checkReplacements } from "../program/validate-program.ts";
import type { Drawn } from "../sampling/draw.ts";
import { drawFailure } from "../sampling/draw-failure.ts";
import type { Proposed, ProposalRequest, ProposalSource } from "../sampling/proposal.ts";
import type { Sampler } from "../sampling/sampler.ts";
import type { SamplerSettings } from "../sampling/settings.ts";
import { validateDraws } from "../sampling/validate-draws.ts";
import { type NativeModel, type NativeResults, type NativeSampler, nativeBinding } from "./binding.ts";
import { LookaheadAnswers } from "./lookahead-answers.ts";
import { PackedRequests, ProposalReader, sourceNumbers } from "./requests.ts";

/** A sampler whose state lives in the addon. */
class NativeLoadedSampler implements Sampler {
  readonly settings: SamplerSettings;
  readonly handle: NativeSampler;

  constructor(settings: SamplerSettings) {
    this.settings = settings;
    const { logitBias, ...numbers } = settings;
    const biasTokens = Int32Array.from(logitBias.keys());
    const biasValues = Float32Array.from(logitBias.values());
    this.handle = new (nativeBinding().Sampler)({ ...numbers, biasTokens, biasValues });
  }

  prompt(tokens: Int32Array): void {
    this.handle.prompt(tokens);
  }

  accept(token: number): void {
    this.handle.accept(token);
  }
}

const noSampling: SamplingRequests = { draws: [] };

/** A model in the addon. */
export class NativeLoadedModel implements LoadedModel {
  readonly program: Program;
  readonly weightBytes: number;
  readonly sharedWeightBytes: number;
  readonly #handle: NativeModel;
  #nForwards = 0;

  constructor(program: Program, handle: NativeModel) {
    this.program = program;
    this.#handle = handle;
    this.weightBytes = handle.weightBytes;
    this.sharedWeightBytes = handle.sharedWeightBytes;
  }

  /** For a model that shares its weights. */
  get handle(): NativeModel {
    return this.#handle;
  }

  createCache(nPages: number): KvCache {
    return this.#handle.createCache(nPages);
  }

  createSampler(settings: SamplerSettings): Sampler {
    return new NativeLoadedSampler(settings);
  }

  async forward(forest: Forest, cache: KvCache, sampling: SamplingRequests = noSampling): Promise<ForwardResult> {
    const { data } = layOutForest(forest, this.program, cache.nPages);
    validateDraws(sampling.draws, this.program.sizes.vocabSize);
    const requests = new PackedRequests(handleOf).addSampling(sampling);
    const { samplers, allowed, trials } = requests;
    const running = this.#handle.forward(data, cache, requests.data, samplers, allowed, trials);
    // After everything that the event loop can do already: it has a core until then, and costs the forward only that one.
    setImmediate(() => this.#handle.eventLoopIsIdle());
    // The results of the previous forward are invalid from here on, even if this one fails.
    const forward = ++this.#nForwards;
    return new NativeResult(this.#handle, sampling, await running, () => forward === this.#nForwards);
  }

  moveKv(cache: KvCache, pages: Int32Array | readonly number[], from: readonly number[], to: readonly number[]): void {
    this.#handle.moveKv(cache, pages, from, to);
  }

  async replaceParameters(values: ReadonlyMap<string, Float32Array>): Promise<void> {
    checkReplacements(this.program, values);
    const running = this.#handle.replaceParameters([...values.keys()], [...values.values()]);
    this.#nForwards++;
    await running;
  }

  timings(): Readonly<Record<string, number>> {
    return this.#handle.timings();
  }

  dispose(): void {
    this.#handle.dispose();
  }
}

function handleOf(sampler: Sampler): NativeSampler {
  if (!(sampler instanceof NativeLoadedSampler)) throw new TypeError("the sampler is another backend's");
  return sampler.handle;
}

class NativeResult implements ForwardResult {
  readonly drawn: readonly Drawn[];
  readonly #handle: NativeModel;
  readonly #isLatest: () => boolean;
  readonly #lookaheads: LookaheadAnswers;

  constructor(handle: NativeModel, sampling: SamplingRequests, results: NativeResults, isLatest: () => boolean) {
    this.#handle = handle;
    this.#isLatest = isLatest;
    this.drawn = drawnOf(sampling, results);
    this.#lookaheads = new LookaheadAnswers(sampling, results.lookaheads);
  }

  hidden(row: number): Float32Array {
    return this.#valid.hidden(row);
  }

  logits(row: number): Float32Array {
    return this.#valid.logits(row);
  }

  draftLogits(source: ProposalSource): Float32Array {
    return this.#valid.draftLogits(...sourceNumbers(source));
  }

  value(id: string, row: number): Float32Array {
    return this.#valid.value(id, row);
  }

  async propose(requests: readonly ProposalRequest[]): Promise<readonly Proposed[]> {
    const known = requests.map((request) => this.#lookaheads.find(request));
    const open = requests.filter((_, i) => known[i] === undefined);
    if (open.length === 0) return known as readonly Proposed[];
    const packed = new PackedRequests(handleOf).addProposals(open);
    const reader = new ProposalReader(await this.#valid.propose(packed.data, packed.samplers, packed.allowed));
    return known.map((one) => one ?? reader.proposed());
  }

  get #valid(): NativeModel {
    if (!this.#isLatest()) throw new Error("results of a forward after the next one");
    return this.#handle;
  }
}

function drawnOf({ draws }: SamplingRequests, { drawn, logprobs }: NativeResults): Drawn[] {
  return draws.map(({ position }, i) => {
    const token = drawn[2 * i] as number;
    const status = drawn[2 * i + 1] as number;
    if (status !== 0) {
      return { token: -1, failure: drawFailure(status === 1 ? "not-finite" : "nothing-allowed", position) };
    }
    const found = logprobs?.[i];
    if (found === undefined) return { token };
    const { logprob, topTokens, topLogprobs } = found;
    return {
      token,
      logprob,
      top: Array.from(topTokens, (id, j) => ({ token: id, logprob: topLogprobs[j] as number })),
    };
  });
}
