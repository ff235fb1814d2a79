import type { Forest } from "../../src/compute/forest/forest.ts";
import type { ForwardResult, KvCache, LoadedModel, SamplingRequests } from "../../src/compute/loaded-model.ts";
import type { Draw, Drawn } from "../../src/compute/sampling/draw.ts";
import type { Proposed } from "../../src/compute/sampling/proposal.ts";
import type { Sampler } from "../../src/compute/sampling/sampler.ts";
import type { SamplerSettings } from "../../src/compute/sampling/settings.ts";
import type { Program } from "../../src/compute/program/program.ts";
import { FakeCache, fakeCacheOf, hashOf, mix } from "./fake-cache.ts";
import { fakeProgram } from "./fake-program.ts";

/**
 * A model without weights: logits are a hash of what a row sees, read back from the slots of a cache, so that a wrong
 * commit, position or parent changes the text. It runs thousands of generations a second. MASK rows propose the token
 * that plain decoding draws, with the probability `hitRate`.
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

export class FakeSampler implements Sampler {
  readonly settings: SamplerSettings;
  readonly promptTokens: number[] = [];
  readonly output: number[] = [];
  isDisposed = false;

  constructor(settings: SamplerSettings) {
    this.settings = settings;
  }

  prompt(tokens: Int32Array): void {
    if (this.output.length > 0) throw new Error("prompt after accept");
    this.promptTokens.push(...tokens);
  }

  accept(token: number): void {
    this.output.push(token);
  }

  allow(): void {}

  dispose(): void {
    this.isDisposed = true;
  }
}

export class FakeModel implements LoadedModel {
  readonly program: Program;
  readonly weightBytes = 1000;
  readonly caches: FakeCache[] = [];
  readonly samplers: FakeSampler[] = [];
  /** Rows of each forward. */
  readonly rowCounts: number[] = [];
  isDisposed = false;
  /** Called as each forward starts. */
  onForward: (() => void) | undefined;
  readonly #options: Required<FakeModelOptions>;
  #isRunning = false;
  #generation = 0;

  constructor(options: FakeModelOptions = {}) {
    this.#options = { vocabSize: 11, hitRate: 0.6, nDepths: 7, entryLayer: 0, nExtraHeads: 4, seed: 0, ...options };
    this.program = fakeProgram(this.#options);
  }

  createCache(nPages: number): KvCache {
    const cache = new FakeCache(nPages);
    this.caches.push(cache);
    return cache;
  }

  createSampler(settings: SamplerSettings): Sampler {
    const sampler = new FakeSampler(settings);
    this.samplers.push(sampler);
    return sampler;
  }

  async forward(forest: Forest, cache: KvCache, sampling?: SamplingRequests): Promise<ForwardResult> {
    if (this.#isRunning) throw new Error("two forwards at once");
    if (this.isDisposed) throw new Error("disposed");
    const own = fakeCacheOf(cache, forest, this.program);
    const generation = ++this.#generation;
    this.rowCounts.push(forest.tokens.length);
    this.onForward?.();
    this.#isRunning = true;
    await Promise.resolve();
    this.#isRunning = false;
    const hashes = own.write(forest, this.#options.seed);
    const drawn = (sampling?.draws ?? []).map((draw): Drawn => {
      if (forest.needsOutput[draw.row] !== 1 || forest.tokens[draw.row] === -1)
        throw new Error("a draw of a row without output");
      if (draw.position !== (forest.positions[draw.row] as number) + 1) throw new Error("a draw's position");
      return this.#draw(hashes[draw.row] as number, draw);
    });
    const unsupported = (): never => {
      throw new Error("a fake model has logits in draws only");
    };
    return {
      drawn,
      hidden: unsupported,
      logits: unsupported,
      logitsAfterHead: unsupported,
      propose: (draw, previous, count) => {
        if (generation !== this.#generation) throw new Error("a result after the next forward");
        if (forest.needsOutput[draw.row] !== 1) throw new Error("no output of this row");
        if (draw.position !== (forest.positions[draw.row] as number) + 1) throw new Error("a proposal's position");
        // A token row has seen what it proposes from.
        const seen = forest.tokens[draw.row] === -1 ? undefined : hashes[draw.row];
        return this.#propose(draw, previous, count, seen);
      },
      extraLogits: unsupported,
      proposeExtra: (draw, head, count) => {
        if (generation !== this.#generation) throw new Error("a result after the next forward");
        if (forest.needsOutput[draw.row] !== 1 || forest.tokens[draw.row] === -1)
          throw new Error("no output of this token row");
        if (draw.position !== (forest.positions[draw.row] as number) + head + 2) throw new Error("a head's position");
        if (head !== draw.extra.length || head >= this.#options.nExtraHeads) throw new Error("no such head");
        const before = draw.extra.at(-1) ?? (draw.sampler as FakeSampler).output.at(-1) ?? -1;
        return this.#propose(draw, before, count, undefined);
      },
    };
  }

  moveKv(cache: KvCache, pages: readonly number[] | Int32Array, from: readonly number[], to: readonly number[]): void {
    fakeCacheOf(cache).move(pages, from, to);
  }

  dispose(): void {
    this.isDisposed = true;
  }

  hashOf(tokens: readonly number[]): number {
    return hashOf(tokens, this.#options.seed);
  }

  /** All settings but topP and minP, which are no business of a decoder. Coarse logits, so that there are ties. */
  #draw(hash: number, draw: Draw): Drawn {
    const { settings, promptTokens, output } = draw.sampler as FakeSampler;
    const seen = [...output, ...draw.extra];
    const logits = Array.from({ length: this.#options.vocabSize }, (_, token) => (mix(hash, token) % 24) / 4 - 3);
    const scores = logits.map((logit, token) => {
      const count = seen.filter((other) => other === token).length;
      let score = logit;
      if (count > 0 || promptTokens.includes(token)) {
        score = score > 0 ? score / settings.repetitionPenalty : score * settings.repetitionPenalty;
      }
      if (count > 0) score -= settings.presencePenalty + settings.frequencyPenalty * count;
      score += settings.logitBias.get(token) ?? 0;
      if (settings.temperature === 0) return score;
      const u = (mix(mix(settings.seed, draw.position), token) + 0.5) / 2 ** 32;
      return score / settings.temperature - Math.log(-Math.log(u));
    });
    const token = scores.indexOf(Math.max(...scores));
    if (settings.logprobs < 0) return { token };
    const top = logits
      .map((logprob, id) => ({ token: id, logprob }))
      .sort((a, b) => b.logprob - a.logprob || a.token - b.token)
      .slice(0, settings.logprobs);
    return { token, logprob: logits[token] as number, top };
  }

  #propose(draw: Draw, previous: number, count: number, seen: number | undefined): Proposed {
    const { promptTokens, output } = draw.sampler as FakeSampler;
    const chain = [...promptTokens, ...output, ...draw.extra];
    if (chain.at(-1) !== previous) throw new Error("previous is not the token before the predicted one");
    if (chain.length !== draw.position) throw new Error("a proposal's history");
    const hash = seen ?? this.hashOf(chain);
    const right = this.#draw(hash, draw).token;
    const isHit = mix(hash, 12_345) / 2 ** 32 < this.#options.hitRate;
    const first = isHit ? right : (right + 1) % this.#options.vocabSize;
    const tokens = Int32Array.from({ length: count }, (_, i) => (first + i) % this.#options.vocabSize);
    return { tokens, confidences: Float32Array.from(tokens, (_, i) => 0.5 / (i + 1)) };
  }
}
