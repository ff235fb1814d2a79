import type { Drawn, ForwardResult, KvCache, LoadedModel, Sampler } from "../compute/backend.ts";
import { Acceptance } from "./acceptance.ts";
import type { MaskRun, Proposer } from "./proposer.ts";
import {
  layOut,
  maskRunLengths,
  PENDING,
  type RoundPlan,
  type RoundRows,
  type Shape,
  type Verified,
  verifyExact,
} from "./round.ts";

/** A sequence's part of the KV cache, as decoding needs it. */
export interface SequenceKv {
  readonly cache: KvCache;
  /** Positions that are cached: verified tokens only. */
  readonly length: number;
  readonly pages: Int32Array | readonly number[];
  /** Makes the pages cover `nSlots` slots behind `length`. */
  reserve(nSlots: number): void;
  /** These tokens' K and V lie at the slots from `length` on: they are part of the sequence now. */
  commit(tokens: readonly number[]): void;
}

export interface DecodeOptions {
  readonly model: LoadedModel;
  readonly kv: SequenceKv;
  /** The whole prompt. The first kv.length of it are cached, at most all but one. */
  readonly prompt: readonly number[];
  /** Knows the prompt and no output yet. */
  readonly sampler: Sampler;
  readonly proposer: Proposer;
  /** Tokens that a forward yields at best. */
  readonly stride: number;
  readonly shape: Shape;
  /** Prompt and output together stay within the context: at least 1, at most context - prompt. */
  readonly maxTokens: number;
  /** Most prompt tokens in one forward. */
  readonly chunkRows: number;
  /** End the text and are no part of it. */
  readonly endTokens: ReadonlySet<number>;
  /** Told every token of the text, in order; true: the text ends with it (a stop string). */
  readonly onToken?: ((drawn: Drawn) => boolean) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** How a decoding went so far. */
export interface DecodeState {
  /** Forwards that drew tokens. */
  forwards: number;
  /** Tokens drawn, an end token included. */
  drawn: number;
  finishReason: "stop" | "length" | "cancelled" | undefined;
  readonly acceptance: Acceptance;
}

export function newDecodeState(): DecodeState {
  return { forwards: 0, drawn: 0, finishReason: undefined, acceptance: new Acceptance() };
}

/**
 * Writes text in rounds, in exact mode: each forward verifies proposals and draws the next ones (I-DLM, arXiv 2604.11035,
 * section 4). Yields the tokens of each round; the tokens are plain decoding's whatever proposer, stride, shape and chunks.
 * Between two rounds the KV cache holds verified tokens only.
 */
export async function* decode(options: DecodeOptions, state: DecodeState): AsyncGenerator<readonly number[]> {
  const { kv, prompt, sampler, proposer, stride, maxTokens, signal } = options;
  let pending = prompt.slice(kv.length);
  let written = 0;
  proposer.observe(prompt);
  let proposals = proposer.propose(Math.min(stride, maxTokens) - 1, undefined);
  while (true) {
    if (signal?.aborted) {
      state.finishReason = "cancelled";
      return;
    }
    if (pending.length > options.chunkRows) {
      await prefillChunk(options, pending.slice(0, options.chunkRows));
      pending = pending.slice(options.chunkRows);
      continue;
    }
    const remaining = maxTokens - written;
    const runLength = proposer.usesMasks ? stride - 1 : 0;
    const maskRuns = maskRunLengths(proposals, runLength, remaining, options.shape);
    const plan: RoundPlan = { sequence: kv, pending, proposals, maskRuns, sampler };
    const { result, rows } = await forward(options, plan);
    state.forwards++;

    const verified = verifyExact(proposals, (anchor) => result.drawn[rows.firstDraw + anchor + 1] as Drawn);
    const { text, nDrawn } = takeTokens(options, state, verified, remaining);
    const path = verified.path.slice(0, nDrawn);
    state.drawn += nDrawn;
    state.acceptance.add(proposals, path, nDrawn);
    commit(options, plan, path);
    written += text.length;
    if (state.finishReason === undefined) {
      proposer.observe(text);
      const last = text.at(-1) as number;
      pending = [last];
      const masks = maskRun(result, plan, rows, path.at(-1) ?? PENDING, kv.length, last);
      // At once: the forward's result does not outlive the next forward.
      proposals = proposer.propose(Math.min(stride, maxTokens - written) - 1, masks);
    }
    if (text.length > 0) yield text;
    if (state.finishReason !== undefined) return;
  }
}

async function prefillChunk(options: DecodeOptions, tokens: readonly number[]): Promise<void> {
  await forward(options, { sequence: options.kv, pending: tokens, proposals: [], maskRuns: [] });
  options.kv.commit(tokens);
}

async function forward(
  { model, kv }: DecodeOptions,
  plan: RoundPlan,
): Promise<{ result: ForwardResult; rows: RoundRows }> {
  const { pending, proposals, maskRuns } = plan;
  kv.reserve(pending.length + proposals.length + maskRuns.reduce((sum, length) => sum + length, 0));
  const { forest, rows } = layOut([plan]);
  return { result: await model.forward(forest, kv.cache), rows: rows[0] as RoundRows };
}

/** Takes what was drawn, up to the text's end: nothing behind it counts. */
function takeTokens(
  { endTokens, onToken, sampler }: DecodeOptions,
  state: DecodeState,
  { drawn }: Verified,
  remaining: number,
): { readonly text: number[]; readonly nDrawn: number } {
  const text: number[] = [];
  for (const next of drawn) {
    if (endTokens.has(next.token)) {
      state.finishReason = "stop";
      return { text, nDrawn: text.length + 1 };
    }
    text.push(next.token);
    sampler.accept(next.token);
    if (onToken?.(next)) state.finishReason = "stop";
    else if (text.length === remaining) state.finishReason = "length";
    if (state.finishReason !== undefined) break;
  }
  return { text, nDrawn: text.length };
}

/** Keeps the pending tokens and the accepted proposals; copies what does not lie in its place. */
function commit({ model, kv }: DecodeOptions, { pending, proposals }: RoundPlan, path: readonly number[]): void {
  const base = kv.length + pending.length;
  const from: number[] = [];
  const to: number[] = [];
  path.forEach((proposal, i) => {
    if (proposal === i) return;
    from.push(base + proposal);
    to.push(base + i);
  });
  if (from.length > 0) model.moveKv(kv.cache, kv.pages, from, to);
  kv.commit([...pending, ...path.map((proposal) => (proposals[proposal] as { token: number }).token)]);
}

/** The run off the anchor that was accepted last. `position` is the pending token's. */
function maskRun(
  result: ForwardResult,
  { maskRuns, sampler }: RoundPlan,
  rows: RoundRows,
  anchor: number,
  position: number,
  pending: number,
): MaskRun | undefined {
  const length = maskRuns[anchor + 1] ?? 0;
  const first = rows.maskRows[anchor + 1] ?? -1;
  if (length === 0 || first < 0 || sampler === undefined) return undefined;
  return {
    length,
    propose: (j, before, count) =>
      result.propose(
        { row: first + j, sampler, position: position + 1 + before.length, extra: before },
        before.at(-1) ?? pending,
        count,
      ),
  };
}
