import type { Forest } from "../forest/forest.ts";
import type { Executor, ForwardResult, KvCache, LoadedModel, RowResults, SamplingRequests } from "../loaded-model.ts";
import { draftVocabularyOf, type Program } from "../program/program.ts";
import type { Draw } from "./draw.ts";
import { gumbel, noiseKey, Purpose } from "./philox.ts";
import { type Proposed, type ProposalRequest, purposeOf } from "./proposal.ts";
import { ReferenceSampler } from "./reference-sampler.ts";
import type { Sampler } from "./sampler.ts";
import type { SamplerSettings } from "./settings.ts";
import { validateDraws } from "./validate-draws.ts";

/** Most likely tokens of a source that its head re-ranks; SHORTLIST in native/src/executor/shortlists.cpp. */
const SHORTLIST = 64;

/** An executor with sampling in plain TypeScript: the counterpart of the native implementation. */
export class SampledModel implements LoadedModel {
  readonly #executor: Executor;
  readonly #draftVocabulary: Int32Array | undefined;

  constructor(executor: Executor) {
    this.#executor = executor;
    this.#draftVocabulary = draftVocabularyOf(executor.program);
  }

  get program(): Program {
    return this.#executor.program;
  }

  get weightBytes(): number {
    return this.#executor.weightBytes;
  }

  get sharedWeightBytes(): number {
    return this.#executor.sharedWeightBytes;
  }

  get executor(): Executor {
    return this.#executor;
  }

  createCache(nPages: number): KvCache {
    return this.#executor.createCache(nPages);
  }

  createSampler(settings: SamplerSettings): Sampler {
    return new ReferenceSampler(settings);
  }

  moveKv(cache: KvCache, pages: Int32Array | readonly number[], from: readonly number[], to: readonly number[]): void {
    this.#executor.moveKv(cache, pages, from, to);
  }

  async replaceParameters(values: ReadonlyMap<string, Float32Array>): Promise<void> {
    await this.#executor.replaceParameters(values);
  }

  dispose(): void {
    this.#executor.dispose();
  }

  async forward(forest: Forest, cache: KvCache, { draws }: SamplingRequests = { draws: [] }): Promise<ForwardResult> {
    validateDraws(draws, this.program.sizes.vocabSize);
    const rows = await this.#executor.forward(forest, cache);
    return sampled(rows, this.#draftVocabulary, draws);
  }
}

function sampled(rows: RowResults, draftVocabulary: Int32Array | undefined, draws: readonly Draw[]): ForwardResult {
  return {
    drawn: draws.map((draw) => referenceSampler(draw).draw(rows.logits(draw.row), draw)),
    hidden: (row) => rows.hidden(row),
    logits: (row) => rows.logits(row),
    draftLogits: (source) => rows.draftLogits(source),
    value: (id, row) => rows.value(id, row),
    propose: async (requests) =>
      requests.map((request) => {
        const { source } = request;
        const after = rows.draftLogits(source);
        // Only MASK rows have a sampler head, which re-ranks the row's own logits.
        const maskLogits = source.kind === "mask" ? rows.logits(source.row) : after;
        return proposeFrom(maskLogits, after, source.kind === "token" ? undefined : draftVocabulary, request);
      }),
  };
}

/**
 * Proposes by the logits `after`, among the most likely tokens by the logits `own`; index i of both is token `ids[i]`,
 * or i without ids.
 */
export function proposeFrom(
  maskLogits: Float32Array,
  after: Float32Array,
  ids: Int32Array | undefined,
  request: ProposalRequest,
): Proposed {
  const sampler = referenceSampler(request);
  // Shortlist by raw logits, with the noise of the verifying draw but without penalties, which are applied below.
  const { temperature, seed, choice } = sampler.settings;
  const key = noiseKey(seed, request.position, choice, Purpose.draw);
  const isNoisy = request.proposeFor === "exact" && temperature > 0;
  const scores = Array.from(maskLogits, (logit, i) =>
    isNoisy ? logit / temperature + gumbel(key, ids?.[i] ?? i) : logit,
  );
  const shortlist = [...scores.keys()]
    .filter((i) => !Number.isNaN(scores[i]))
    .sort((a, b) => (scores[b] as number) - (scores[a] as number) || a - b)
    .slice(0, Math.max(SHORTLIST, request.count))
    .sort((a, b) => a - b);
  const tokens = Int32Array.from(shortlist, (i) => ids?.[i] ?? i);
  const logits = Float32Array.from(shortlist, (i) => after[i] as number);
  return sampler.propose(logits, tokens, request, purposeOf(request.source));
}

function referenceSampler({ sampler }: { readonly sampler: Sampler }): ReferenceSampler {
  if (!(sampler instanceof ReferenceSampler)) throw new TypeError("the sampler is another backend's");
  return sampler;
}
