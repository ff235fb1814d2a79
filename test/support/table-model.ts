import type { Forest } from "../../src/compute/forest/forest.ts";
import type { ForwardResult, KvCache, LoadedModel, SamplingRequests } from "../../src/compute/loaded-model.ts";
import type { Draw } from "../../src/compute/sampling/draw.ts";
import type { Proposed } from "../../src/compute/sampling/proposal.ts";
import type { Sampler } from "../../src/compute/sampling/sampler.ts";
import type { SamplerSettings } from "../../src/compute/sampling/settings.ts";
import type { Program } from "../../src/compute/program/program.ts";
import { gumbel, noiseKey, Purpose } from "../../src/compute/sampling/philox.ts";
import { ReferenceSampler } from "../../src/compute/sampling/reference-sampler.ts";
import { FakeCache, fakeCacheOf, hashOf, mix } from "./fake-cache.ts";
import { fakeProgram } from "./fake-program.ts";

export interface TableModelOptions {
  readonly vocabSize: number;
  /** Distinguishes models. */
  readonly seed: number;
  /** Spread of the logits: the largest are about 2 × as much. */
  readonly spread?: number;
  /** What MASK rows propose: of the target's logits this share, the rest noise of what the row sees and the token before. */
  readonly likeness?: number;
  /** Tokens that MASK rows can propose. */
  readonly draftVocabulary?: readonly number[];
  readonly entryLayer?: number;
  /** Probabilities in place of random ones, in every context. */
  readonly fixed?: { readonly target: readonly number[]; readonly draft?: readonly number[] };
  /** A mistake planted in the proposals, which a test of distributions has to find. */
  readonly fault?: "shares the residual's noise" | "shares the acceptance's noise" | "takes the best" | "misstates q";
}

/** Knows its context, which the drafter of a table model looks at. */
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

/**
 * A model whose logits are a fixed random function of the context, computed once for each: its texts have probabilities
 * that can be enumerated. What a row sees is read back from a cache's slots, sampling is the reference's, so that the whole
 * of decoding takes part.
 */
export class TableModel implements LoadedModel {
  readonly program: Program;
  readonly weightBytes = 0;
  readonly #options: TableModelOptions;
  readonly #logits = new Map<number, Float32Array>();
  readonly #drafts = new Map<string, Float32Array>();

  constructor(options: TableModelOptions) {
    this.#options = options;
    const { vocabSize, draftVocabulary, entryLayer } = options;
    this.program = fakeProgram({ vocabSize, nDepths: 8, nExtraHeads: 8, entryLayer, draftVocabulary });
  }

  createCache(nPages: number): KvCache {
    return new FakeCache(nPages);
  }

  createSampler(settings: SamplerSettings): Sampler {
    return new TableSampler(settings);
  }

  /** Of the token after these. */
  logitsAfter(context: readonly number[]): Float32Array {
    return this.#target(hashOf(context, this.#options.seed));
  }

  async forward(forest: Forest, cache: KvCache, sampling?: SamplingRequests): Promise<ForwardResult> {
    const hashes = fakeCacheOf(cache, forest, this.program).write(forest, this.#options.seed);
    const drawn = (sampling?.draws ?? []).map((draw) => {
      const hash = hashes[draw.row] as number;
      if (hash !== hashOf(contextOf(draw), this.#options.seed)) throw new Error("a row does not see its context");
      return samplerOf(draw).draw(this.#target(hash), draw);
    });
    const unsupported = (): never => {
      throw new Error("a table model has logits in draws and proposals only");
    };
    return {
      drawn,
      hidden: unsupported,
      logits: unsupported,
      logitsAfterHead: unsupported,
      propose: (draw, previous, count, proposeFor) => {
        const isMask = forest.tokens[draw.row] === -1;
        const logits = this.#draft(hashes[draw.row] as number, previous, contextOf(draw));
        const ids = isMask ? this.program.draftVocabulary : undefined;
        const purpose = isMask ? Purpose.proposal : Purpose.draft;
        return this.#spoiled(samplerOf(draw).propose(logits, ids, draw, count, proposeFor, purpose), draw);
      },
      extraLogits: unsupported,
      proposeExtra: (draw, head, count, proposeFor) => {
        const logits = this.#draft(hashes[draw.row] as number, -1 - head, contextOf(draw));
        const ids = this.program.draftVocabulary;
        return samplerOf(draw).propose(logits, ids, draw, count, proposeFor, Purpose.extraHead);
      },
    };
  }

  moveKv(cache: KvCache, pages: readonly number[] | Int32Array, from: readonly number[], to: readonly number[]): void {
    fakeCacheOf(cache).move(pages, from, to);
  }

  dispose(): void {}

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

  /** About normal. */
  #noise(hash: number, n: number): Float32Array {
    const { spread = 1.2 } = this.#options;
    return Float32Array.from({ length: n }, (_, token) => {
      let sum = -2;
      for (let i = 0; i < 4; i++) sum += mix(mix(hash, token), i) / 2 ** 32;
      return sum * Math.sqrt(3) * spread;
    });
  }

  #spoiled(proposed: Proposed, { position, sampler: { settings } }: Draw): Proposed {
    const { fault } = this.#options;
    const { from, tokens } = proposed;
    if (fault === undefined || from === undefined) return proposed;
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

function samplerOf({ sampler }: Draw): TableSampler {
  if (!(sampler instanceof TableSampler)) throw new TypeError("another model's sampler");
  return sampler;
}

function contextOf(draw: Draw): readonly number[] {
  return [...samplerOf(draw).context, ...draw.extra];
}
