import type { Forest } from "../forest/forest.ts";
import type { ForwardResult, KvCache, LoadedModel, SamplingRequests } from "../loaded-model.ts";
import type { Draw, Drawn } from "../sampling/draw.ts";
import type { Proposed, ProposalRequest, ProposalSource } from "../sampling/proposal.ts";
import type { Sampler } from "../sampling/sampler.ts";
import type { SamplerSettings } from "../sampling/settings.ts";
import type { Program } from "../program/program.ts";
import { layOutForest } from "../forest/layout.ts";
import { drawFailure } from "../sampling/draw-failure.ts";
import { validateDraws } from "../sampling/validate-draws.ts";
import { type NativeDraw, type NativeDrawn, type NativeModel, type NativeSampler, nativeBinding } from "./binding.ts";

/** A sampler whose state lives in the addon. */
class NativeLoadedSampler implements Sampler {
  readonly settings: SamplerSettings;
  readonly handle: NativeSampler;

  constructor(settings: SamplerSettings) {
    this.settings = settings;
    const biasTokens = Int32Array.from(settings.logitBias.keys());
    const biasValues = Float32Array.from(settings.logitBias.values());
    this.handle = new (nativeBinding().Sampler)({ ...settings, biasTokens, biasValues });
  }

  prompt(tokens: Int32Array): void {
    this.handle.prompt(tokens);
  }

  accept(token: number): void {
    this.handle.accept(token);
  }

  allow(mask: Uint32Array | undefined): void {
    this.handle.allow(mask);
  }

  dispose(): void {
    this.handle.allow(undefined);
  }
}

const noSampling: SamplingRequests = { draws: [] };

/** A model in the addon. */
export class NativeLoadedModel implements LoadedModel {
  readonly program: Program;
  readonly weightBytes: number;
  readonly #handle: NativeModel;

  constructor(program: Program, handle: NativeModel) {
    this.program = program;
    this.#handle = handle;
    this.weightBytes = handle.weightBytes;
  }

  createCache(nPages: number): KvCache {
    return this.#handle.createCache(nPages);
  }

  createSampler(settings: SamplerSettings): Sampler {
    return new NativeLoadedSampler(settings);
  }

  async forward(forest: Forest, cache: KvCache, sampling: SamplingRequests = noSampling): Promise<ForwardResult> {
    layOutForest(forest, this.program, cache.nPages);
    validateDraws(sampling.draws, this.program.sizes.vocabSize);
    const draws = sampling.draws.map(nativeDraw);
    const drawn = await this.#handle.forward({ ...forest, wanted: forest.needsOutput, draws }, cache);
    return new NativeResult(this.#handle, sampling, drawn);
  }

  moveKv(cache: KvCache, pages: Int32Array | readonly number[], from: readonly number[], to: readonly number[]): void {
    this.#handle.moveKv(cache, pages, from, to);
  }

  timings(): Readonly<Record<string, number>> {
    return this.#handle.timings();
  }

  dispose(): void {
    this.#handle.dispose();
  }
}

function nativeDraw(draw: Draw): NativeDraw {
  const { row, position, unverified, trial } = draw;
  return { row, sampler: handleOf(draw), position, extra: unverified, trial };
}

function handleOf({ sampler }: { readonly sampler: Sampler }): NativeSampler {
  if (!(sampler instanceof NativeLoadedSampler)) throw new TypeError("the sampler is another backend's");
  return sampler.handle;
}

class NativeResult implements ForwardResult {
  readonly drawn: readonly Drawn[];
  readonly #handle: NativeModel;

  constructor(handle: NativeModel, { draws }: SamplingRequests, drawn: readonly NativeDrawn[]) {
    this.#handle = handle;
    this.drawn = drawn.map((d, i) => {
      const position = draws[i]?.position ?? -1;
      if (d.status !== 0)
        return { token: -1, failure: drawFailure(d.status === 1 ? "not-finite" : "nothing-allowed", position) };
      if (d.logprob === undefined) return { token: d.token };
      const { topTokens = new Int32Array(), topLogprobs = new Float32Array() } = d;
      const top = Array.from(topTokens, (token, j) => ({ token, logprob: topLogprobs[j] as number }));
      return { token: d.token, logprob: d.logprob, top };
    });
  }

  hidden(row: number): Float32Array {
    return this.#handle.hidden(row);
  }

  logits(row: number): Float32Array {
    return this.#handle.logits(row);
  }

  draftLogits(source: ProposalSource): Float32Array {
    if (source.kind === "mask") return this.#handle.logitsAfterHead(source.row, source.previous);
    return source.kind === "head" ? this.#handle.extraLogits(source.row, source.head) : this.#handle.logits(source.row);
  }

  async propose(requests: readonly ProposalRequest[]): Promise<readonly Proposed[]> {
    return requests.map((request) => {
      const { source, position, unverified, count } = request;
      const draw = { row: source.row, sampler: handleOf(request), position, extra: unverified, trial: undefined };
      const isRejection = request.proposeFor === "rejection";
      return source.kind === "head"
        ? this.#handle.proposeExtra(draw, source.head, count, isRejection)
        : this.#handle.propose(draw, source.kind === "mask" ? source.previous : 0, count, isRejection);
    });
  }
}
