import type { Forest } from "../../src/compute/forest/forest.ts";
import type { Executor, ForwardResult, KvCache, RowResults, SamplingRequests } from "../../src/compute/loaded-model.ts";
import type { Program } from "../../src/compute/program/program.ts";
import type { ProposalRequest, Proposed } from "../../src/compute/sampling/proposal.ts";
import { ReferenceSampler } from "../../src/compute/sampling/reference-sampler.ts";
import { SampledModel } from "../../src/compute/sampling/sampled-model.ts";
import type { Sampler } from "../../src/compute/sampling/sampler.ts";
import type { SamplerSettings } from "../../src/compute/sampling/settings.ts";
import { FakeCache, fakeCacheOf, hashOf, mix } from "./fake-cache.ts";
import { fakeProgram } from "./fake-program.ts";

/**
 * A model without weights: logits are a hash of a row's context, read back from the slots of the cache, so that a wrong
 * commit, position or parent changes the output. It runs thousands of generations per second. MASK rows propose the
 * token of plain decoding with probability `hitRate`.
 */
export interface FakeModelOptions {
  readonly vocabSize?: number;
  readonly hitRate?: number;
  readonly nDepths?: number;
  readonly entryLayer?: number;
  readonly nExtraHeads?: number;
  /** Distinguishes models. */
  readonly seed?: number;
}

/** Records its calls. */
export class FakeSampler extends ReferenceSampler {
  readonly promptTokens: number[] = [];
  readonly output: number[] = [];

  override prompt(tokens: Int32Array): void {
    if (this.output.length > 0) throw new Error("prompt after accept");
    super.prompt(tokens);
    this.promptTokens.push(...tokens);
  }

  override accept(token: number): void {
    super.accept(token);
    this.output.push(token);
  }
}

/** Results of a forward: hashes of the rows' contexts. */
class FakeRows implements RowResults {
  readonly #forest: Forest;
  readonly #hashes: readonly number[];
  readonly #vocabSize: number;

  constructor(forest: Forest, hashes: readonly number[], vocabSize: number) {
    this.#forest = forest;
    this.#hashes = hashes;
    this.#vocabSize = vocabSize;
  }

  /** Context of a row, which must need output and be of the given kind. */
  hashOf(row: number, isMask: boolean): number {
    const { needsOutput, tokens } = this.#forest;
    if (needsOutput[row] !== 1) throw new Error("a row without output");
    if ((tokens[row] === -1) !== isMask) throw new Error("a row of the other kind");
    return this.#hashes[row] as number;
  }

  positionOf(row: number): number {
    return this.#forest.positions[row] as number;
  }

  hidden(): never {
    throw new Error("a fake model has no hidden states");
  }

  logits(row: number): Float32Array {
    return logitsOf(this.hashOf(row, false), this.#vocabSize);
  }

  draftLogits(): never {
    throw new Error("a fake model has no logits for proposals");
  }

  value(): never {
    throw new Error("a fake model computes no values");
  }
}

class FakeExecutor implements Executor {
  readonly program: Program;
  readonly weightBytes = 1000;
  readonly sharedWeightBytes = 0;
  readonly caches: FakeCache[] = [];
  /** Rows of each forward. */
  readonly rowCounts: number[] = [];
  isDisposed = false;
  onForward: (() => void) | undefined;
  /** Results of the last forward. */
  latest: FakeRows | undefined;
  readonly #seed: number;
  #isRunning = false;

  constructor(program: Program, seed: number) {
    this.program = program;
    this.#seed = seed;
  }

  createCache(nPages: number): KvCache {
    const cache = new FakeCache(nPages);
    this.caches.push(cache);
    return cache;
  }

  async forward(forest: Forest, cache: KvCache): Promise<RowResults> {
    if (this.#isRunning) throw new Error("two forwards at once");
    if (this.isDisposed) throw new Error("disposed");
    const own = fakeCacheOf(cache);
    this.rowCounts.push(forest.tokens.length);
    this.onForward?.();
    this.#isRunning = true;
    await Promise.resolve();
    this.#isRunning = false;
    this.latest = new FakeRows(forest, own.write(forest, this.program, this.#seed), this.program.sizes.vocabSize);
    return this.latest;
  }

  moveKv(cache: KvCache, pages: readonly number[] | Int32Array, from: readonly number[], to: readonly number[]): void {
    fakeCacheOf(cache).move(pages, from, to);
  }

  replaceParameters(): Promise<never> {
    return Promise.reject(new Error("a fake model has no parameters"));
  }

  dispose(): void {
    this.isDisposed = true;
  }
}

export class FakeModel extends SampledModel {
  readonly samplers: FakeSampler[] = [];
  readonly #options: Required<FakeModelOptions>;
  readonly #executor: FakeExecutor;

  constructor(options: FakeModelOptions = {}) {
    const full = { vocabSize: 11, hitRate: 0.6, nDepths: 7, entryLayer: 0, nExtraHeads: 4, seed: 0, ...options };
    const executor = new FakeExecutor(fakeProgram(full), full.seed);
    super(executor);
    this.#options = full;
    this.#executor = executor;
  }

  get caches(): readonly FakeCache[] {
    return this.#executor.caches;
  }

  /** Rows of each forward. */
  get rowCounts(): number[] {
    return this.#executor.rowCounts;
  }

  get isDisposed(): boolean {
    return this.#executor.isDisposed;
  }

  /** Called as each forward starts. */
  set onForward(listener: (() => void) | undefined) {
    this.#executor.onForward = listener;
  }

  override createSampler(settings: SamplerSettings): Sampler {
    const sampler = new FakeSampler(settings);
    this.samplers.push(sampler);
    return sampler;
  }

  override async forward(forest: Forest, cache: KvCache, sampling?: SamplingRequests): Promise<ForwardResult> {
    for (const { row, position } of sampling?.draws ?? []) {
      if (position !== (forest.positions[row] as number) + 1) throw new Error("a draw's position");
    }
    const result = await super.forward(forest, cache, sampling);
    const rows = this.#executor.latest as FakeRows;
    const propose: ForwardResult["propose"] = async (requests) => {
      await Promise.resolve();
      if (rows !== this.#executor.latest) throw new Error("a result after the next forward");
      return requests.map((request) => this.#propose(rows, request));
    };
    return { ...result, propose };
  }

  hashOf(tokens: readonly number[]): number {
    return hashOf(tokens, this.#options.seed);
  }

  #propose(rows: FakeRows, { source, sampler, position, unverified, count }: ProposalRequest): Proposed {
    if (!(sampler instanceof FakeSampler)) throw new TypeError("another model's sampler");
    const { hitRate, vocabSize, nExtraHeads } = this.#options;
    const { promptTokens, output } = sampler;
    const chain = [...promptTokens, ...output, ...unverified];
    if (chain.length !== position) throw new Error("a proposal's history");
    const seen = rows.hashOf(source.row, source.kind === "mask");
    const distance = source.kind === "head" ? source.head + 2 : 1;
    if (position !== rows.positionOf(source.row) + distance) throw new Error("a proposal's position");
    if (source.kind === "mask" && chain.at(-1) !== source.previous) {
      throw new Error("previous is not the token before the predicted one");
    }
    if (source.kind === "head" && (source.head !== unverified.length || source.head >= nExtraHeads)) {
      throw new Error("no such head");
    }
    // The hash of a token row includes its own token.
    const hash = source.kind === "token" ? seen : this.hashOf(chain);
    const right = sampler.draw(logitsOf(hash, vocabSize), { row: source.row, sampler, position, unverified }).token;
    const isHit = mix(hash, 12_345) / 2 ** 32 < hitRate;
    const first = isHit ? right : (right + 1) % vocabSize;
    const tokens = Int32Array.from({ length: count }, (_, i) => (first + i) % vocabSize);
    return { tokens, confidences: Float32Array.from(tokens, (_, i) => 0.5 / (i + 1)) };
  }
}

/** Coarse values, so that ties occur. */
function logitsOf(hash: number, vocabSize: number): Float32Array {
  return Float32Array.from({ length: vocabSize }, (_, token) => (mix(hash, token) % 24) / 4 - 3);
}
