import type { SamplingRequests } from "../loaded-model.ts";
import type { Trial } from "../sampling/draw.ts";
import type { Proposed, ProposalRequest, ProposalSource } from "../sampling/proposal.ts";
import type { Sampler } from "../sampling/sampler.ts";
import type { NativeSampler, PackedProposals } from "./binding.ts";

/** As ProposalKind in native/src/sampling/requests.h. */
const kinds: Readonly<Record<ProposalSource["kind"], number>> = { mask: 0, head: 1, token: 2 };

/** Requests as native code reads them (native/src/sampling/requests.cpp): numbers, and objects that they name by index. */
export class PackedRequests {
  readonly samplers: NativeSampler[] = [];
  allowed: Uint32Array[] | undefined;
  trials: Trial[] | undefined;
  readonly #numbers: number[] = [];
  readonly #handleOf: (sampler: Sampler) => NativeSampler;

  constructor(handleOf: (sampler: Sampler) => NativeSampler) {
    this.#handleOf = handleOf;
  }

  get data(): Float64Array {
    return new Float64Array(this.#numbers);
  }

  /** Of a forward. */
  addSampling({ draws, lookaheads = [] }: SamplingRequests): this {
    const numbers = this.#numbers;
    numbers.push(draws.length);
    for (const { row, sampler, position, allowed, trial, unverified } of draws) {
      numbers.push(row, this.#samplerIndex(sampler), position, this.#allowedIndex(allowed), this.#trialIndex(trial));
      this.#addList(unverified);
    }
    numbers.push(lookaheads.length);
    for (const { kind, widths, count, proposeFor, firstDraw, anchors } of lookaheads) {
      numbers.push(kinds[kind], count, proposeFor === "rejection" ? 1 : 0);
      this.#addList(widths);
      numbers.push(firstDraw, anchors.length);
      for (const { parent, token, row, length } of anchors) numbers.push(parent, token, row, length);
    }
    return this;
  }

  addProposals(requests: readonly ProposalRequest[]): this {
    const numbers = this.#numbers;
    numbers.push(requests.length);
    for (const { source, sampler, position, allowed, count, proposeFor, unverified } of requests) {
      numbers.push(...sourceNumbers(source), this.#samplerIndex(sampler), position, this.#allowedIndex(allowed));
      numbers.push(count, proposeFor === "rejection" ? 1 : 0);
      this.#addList(unverified);
    }
    return this;
  }

  #addList(values: readonly number[]): void {
    this.#numbers.push(values.length);
    for (const value of values) this.#numbers.push(value);
  }

  #samplerIndex(sampler: Sampler): number {
    const handle = this.#handleOf(sampler);
    const { samplers } = this;
    // Requests of one sequence follow each other.
    if (samplers.at(-1) === handle) return samplers.length - 1;
    return samplers.push(handle) - 1;
  }

  #allowedIndex(allowed: Uint32Array | undefined): number {
    if (allowed === undefined) return -1;
    this.allowed ??= [];
    return this.allowed.push(allowed) - 1;
  }

  #trialIndex(trial: Trial | undefined): number {
    if (trial === undefined) return -1;
    this.trials ??= [];
    return this.trials.push(trial) - 1;
  }
}

/** Kind, row, and the token before the predicted one or the head. */
export function sourceNumbers(source: ProposalSource): readonly [kind: number, row: number, of: number] {
  const of = source.kind === "mask" ? source.previous : source.kind === "head" ? source.head : 0;
  return [kinds[source.kind], source.row, of];
}

/** Reads packed proposals one after the other. Their arrays are views. */
export class ProposalReader {
  readonly #numbers: Int32Array;
  readonly #shares: Float32Array;
  #at = 0;
  #shareAt = 0;

  constructor({ numbers, shares }: PackedProposals) {
    this.#numbers = numbers;
    this.#shares = shares;
  }

  number(): number {
    return this.#numbers[this.#at++] as number;
  }

  proposed(): Proposed {
    const nTokens = this.number();
    const nFrom = this.number();
    const tokens = this.#tokens(nTokens);
    const confidences = this.#values(nTokens);
    if (nFrom < 0) return { tokens, confidences };
    return { tokens, confidences, from: { tokens: this.#tokens(nFrom), probabilities: this.#values(nFrom) } };
  }

  #tokens(n: number): Int32Array {
    const from = this.#at;
    this.#at += n;
    return this.#numbers.subarray(from, this.#at);
  }

  #values(n: number): Float32Array {
    const from = this.#shareAt;
    this.#shareAt += n;
    return this.#shares.subarray(from, this.#shareAt);
  }
}
