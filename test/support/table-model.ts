import type { Forest } from "../../src/compute/forest/forest.ts";
import type { Executor, ForwardResult, KvCache, RowResults, SamplingRequests } from "../../src/compute/loaded-model.ts";
import { draftVocabularyOf, type Program } from "../../src/compute/program/program.ts";
import type { Draw } from "../../src/compute/sampling/draw.ts";
import { gumbel, noiseKey, Purpose } from "../../src/compute/sampling/philox.ts";
import { type ProposalRequest, type Proposed, purposeOf } from "../../src/compute/sampling/proposal.ts";
import { ReferenceSampler } from "../../src/compute/sampling/reference-sampler.ts";
import { SampledModel } from "../../src/compute/sampling/sampled-model.ts";
import type { Sampler } from "../../src/compute/sampling/sampler.ts";
import type { SamplerSettings } from "../../src/compute/sampling/settings.ts";
import { FakeCache, fakeCacheOf, hashOf, mix } from "./fake-cache.ts";
import { fakeProgram } from "./fake-program.ts";

export interface TableModelOptions {
  readonly vocabSize: number;
  /** Distinguishes models. */
  readonly seed: number;
  /** Spread of the logits; the largest are about twice as large. */
  readonly spread?: number;
  /**
   * Share of the target's logits in those of MASK rows; the rest is noise that depends on the row's context and the
   * token before.
   */
  readonly likeness?: number;
  /** Draft vocabulary. */
  readonly draftVocabulary?: readonly number[];
  readonly entryLayer?: number;
  /** Fixed probabilities for every context, instead of random ones. */
  readonly fixed?: { readonly target: readonly number[]; readonly draft?: readonly number[] };
  /** A fault planted in the proposals, which distribution tests must detect. */
  readonly fault?: "shares the residual's noise" | "shares the acceptance's noise" | "takes the best" | "misstates q";
}

/** Records its context, for the draft logits of a table model. */
class TableSampler extends ReferenceSampler {
  readonly context: number[] = [];

  override prompt(tokens: Int32Array): void {
    super.prompt(tokens);
    this.context.push(...tokens);
  }

  override accept(token: number): void {
    super.accept(token);
    this.context.push(token);
  }
}

class TableExecutor implements Executor {
  readonly program: Program;
  readonly weightBytes = 0;
  readonly sharedWeightBytes = 0;
  readonly #seed: number;
  readonly #logitsOf: (hash: number) => Float32Array;
  /** Contexts of the last forward's rows. */
  hashes: readonly number[] = [];

  constructor(program: Program, seed: number, logitsOf: (hash: number) => Float32Array) {
    this.program = program;
    this.#seed = seed;
    this.#logitsOf = logitsOf;
  }

  createCache(nPages: number): KvCache {
    return new FakeCache(nPages);
  }

  async forward(forest: Forest, cache: KvCache): Promise<RowResults> {
    const hashes = fakeCacheOf(cache).write(forest, this.program, this.#seed);
    this.hashes = hashes;
    const unsupported = (): never => {
      throw new Error("a table model has logits of token rows only");
    };
    return {
      hidden: unsupported,
      logits: (row) => this.#logitsOf(hashes[row] as number),
      draftLogits: unsupported,
      value: unsupported,
    };
  }

  moveKv(cache: KvCache, pages: readonly number[] | Int32Array, from: readonly number[], to: readonly number[]): void {
    fakeCacheOf(cache).move(pages, from, to);
  }

  replaceParameters(): Promise<never> {
    return Promise.reject(new Error("a table model has no parameters"));
  }

  dispose(): void {}
}

/**
 * A model whose logits are a fixed random function of the context, cached by context, so that the probabilities of all
 * outputs can be enumerated. Contexts are read back from the slots of a cache and sampling is the reference's, so that
 * all of decoding is tested.
 */
export class TableModel extends SampledModel {
  readonly #options: TableModelOptions;
  readonly #executor: TableExecutor;
  readonly #draftVocabulary: Int32Array | undefined;
  readonly #logits = new Map<number, Float32Array>();
  readonly #drafts = new Map<string, Float32Array>();

  constructor(options: TableModelOptions) {
    const { vocabSize, draftVocabulary, entryLayer, seed } = options;
    const program = fakeProgram({ vocabSize, nDepths: 8, nExtraHeads: 8, entryLayer, draftVocabulary });
    const executor = new TableExecutor(program, seed, (hash) => this.#target(hash));
    super(executor);
    this.#options = options;
    this.#draftVocabulary = draftVocabularyOf(program);
    this.#executor = executor;
  }

  override createSampler(settings: SamplerSettings): Sampler {
    return new TableSampler(settings);
  }

  /** Logits of the token after these. */
  logitsAfter(context: readonly number[]): Float32Array {
    return this.#target(hashOf(context, this.#options.seed));
  }

  override async forward(forest: Forest, cache: KvCache, sampling?: SamplingRequests): Promise<ForwardResult> {
    const result = await super.forward(forest, cache, sampling);
    const { hashes } = this.#executor;
    for (const draw of sampling?.draws ?? []) {
      if (hashes[draw.row] !== hashOf(contextOf(draw), this.#options.seed)) {
        throw new Error("a row does not see its context");
      }
    }
    const propose: ForwardResult["propose"] = async (requests) =>
      requests.map((request) => {
        const { source } = request;
        const seen = hashes[source.row] as number;
        const context = contextOf(request);
        const before = source.kind === "head" ? -1 - source.head : (context.at(-1) as number);
        if (source.kind === "mask" && source.previous !== before) throw new Error("previous is not the token before");
        const logits = this.#draft(seen, before, context);
        const ids = source.kind === "token" ? undefined : this.#draftVocabulary;
        return this.#spoiled(samplerOf(request).propose(logits, ids, request, purposeOf(source)), request);
      });
    return { ...result, propose };
  }

  #target(hash: number): Float32Array {
    let logits = this.#logits.get(hash);
    if (logits === undefined) {
      const { fixed, vocabSize } = this.#options;
      logits = fixed === undefined ? this.#noise(hash, vocabSize) : Float32Array.from(fixed.target, Math.log);
      this.#logits.set(hash, logits);
    }
    return logits;
  }

  #draft(row: number, previous: number, context: readonly number[]): Float32Array {
    const { likeness = 0.5, vocabSize, draftVocabulary, fixed } = this.#options;
    if (fixed?.draft !== undefined) return Float32Array.from(fixed.draft, Math.log);
    const own = mix(mix(row, previous), 77);
    const key = `${own} ${hashOf(context, 1)}`;
    let logits = this.#drafts.get(key);
    if (logits === undefined) {
      const target = this.logitsAfter(context);
      const noise = this.#noise(own, vocabSize);
      const mixed = target.map((logit, token) => likeness * logit + (1 - likeness) * (noise[token] as number));
      logits = draftVocabulary === undefined ? mixed : Float32Array.from(draftVocabulary, (id) => mixed[id] as number);
      this.#drafts.set(key, logits);
    }
    return logits;
  }

  /** Approximately normal. */
  #noise(hash: number, n: number): Float32Array {
    const { spread = 1.2 } = this.#options;
    return Float32Array.from({ length: n }, (_, token) => {
      let sum = -2;
      for (let i = 0; i < 4; i++) sum += mix(mix(hash, token), i) / 2 ** 32;
      return sum * Math.sqrt(3) * spread;
    });
  }

  #spoiled(proposed: Proposed, { source, position, sampler: { settings } }: ProposalRequest): Proposed {
    const { fault } = this.#options;
    const { from, tokens } = proposed;
    if (fault === undefined || from === undefined || source.kind === "head") return proposed;
    const shares = Array.from(from.tokens, (token, i) => ({ token, share: from.probabilities[i] as number }));
    if (fault === "misstates q") {
      const probabilities = from.probabilities.map((p) => 0.7 * p + 0.3 / from.tokens.length);
      return { ...proposed, from: { tokens: from.tokens, probabilities } };
    }
    const purpose = fault === "shares the residual's noise" ? Purpose.residual : Purpose.acceptance;
    const key = noiseKey(settings.seed, position, settings.choice, purpose);
    const score = ({ token, share }: { token: number; share: number }) =>
      fault === "takes the best" ? share : Math.log(share) + gumbel(key, token);
    const best = shares.sort((a, b) => score(b) - score(a)).slice(0, tokens.length);
    return { ...proposed, tokens: Int32Array.from(best, ({ token }) => token) };
  }
}

function samplerOf({ sampler }: { readonly sampler: Sampler }): TableSampler {
  if (!(sampler instanceof TableSampler)) throw new TypeError("another model's sampler");
  return sampler;
}

function contextOf(request: Draw | ProposalRequest): readonly number[] {
  return [...samplerOf(request).context, ...request.unverified];
}
