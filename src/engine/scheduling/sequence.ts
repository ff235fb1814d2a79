import { createHash } from "node:crypto";
import type { BackendInfo } from "../../compute/backend.ts";
import type { ForwardResult } from "../../compute/loaded-model.ts";
import type { Drawn } from "../../compute/sampling/draw.ts";
import type { PrefillBudget } from "../../decoding/proposers/proposer.ts";
import type { Decoder, FinishReason } from "../../decoding/round/decoder.ts";
import type { ProposingTask } from "../../decoding/round/proposing.ts";
import { extraRows, type RoundPlan, type RoundRows } from "../../decoding/round/round.ts";
import type { KvSequence } from "../kv/kv-sequence.ts";
import type { SequenceStream } from "../output/generation.ts";
import { IncrementalDetokenizer } from "../output/incremental-detokenizer.ts";
import { RoundRecorder } from "../output/round-recorder.ts";
import type { CheckedRequest } from "../request/request.ts";
import type { GenerationResult, ModelObserver, TextTokenizer, TokenLogprobs } from "../types.ts";
import { createDecoder, type DecodingParts } from "./create-decoder.ts";
import { PromptScores } from "./prompt-scores.ts";

/** What all sequences of a model share. */
export interface SequenceParts extends DecodingParts {
  readonly backend: BackendInfo;
  readonly tokenizer: TextTokenizer | undefined;
  readonly observer?: ModelObserver | undefined;
}

/** One completion: its request, decoder, KV pages, output so far and stream. */
export class Sequence {
  readonly request: CheckedRequest;
  readonly kv: KvSequence;
  readonly stream: SequenceStream;
  /** Called when it ends, before its stream does. */
  onEnd: () => void = () => {};
  readonly #parts: SequenceParts;
  readonly #detokenizer: IncrementalDetokenizer;
  readonly #tokens: number[] = [];
  readonly #logprobs: TokenLogprobs[] = [];
  /** From start() to dispose(). */
  #decoder: Decoder | undefined;
  /** Verified tokens without a decoder. */
  #verified: readonly number[];
  readonly #createdMs = performance.now();
  /** From start(), if the prompt is scored. */
  #scores: PromptScores | undefined;
  /** If rounds are recorded. */
  #recorder: RoundRecorder | undefined;
  #startMs: number | undefined;
  /** When it drew its last tokens. */
  #drawnMs: number | undefined;
  #firstTokenMs: number | undefined;
  /** Cached tokens when its first rows ran. */
  #cachedTokens: number | undefined;

  constructor(parts: SequenceParts, request: CheckedRequest, kv: KvSequence, stream: SequenceStream) {
    this.#parts = parts;
    this.request = request;
    this.#verified = request.ids;
    this.kv = kv;
    this.stream = stream;
    this.#detokenizer = new IncrementalDetokenizer(parts.tokenizer, request.stop);
  }

  /** Verified tokens: prompt and output. */
  get tokens(): readonly number[] {
    return this.#decoder?.tokens ?? this.#verified;
  }

  get nGenerated(): number {
    return this.#tokens.length;
  }

  /** Verified tokens that are not in the KV cache. */
  get nPending(): number {
    return this.tokens.length - this.kv.length;
  }

  /** Whether log-probabilities of the prompt are still to be computed. */
  get isScoring(): boolean {
    return this.request.promptLogprobs !== undefined && this.#scores?.complete === undefined;
  }

  /** Tokens whose pages may be those of the prefix cache: rows whose log-probabilities are requested have to run. */
  get cacheableTokens(): readonly number[] {
    return this.isScoring ? this.tokens.slice(0, (this.#scores?.nScoredRows ?? 0) + 1) : this.tokens;
  }

  /** Rows of its next round without its pending tokens; of its last one until `takeRound`. */
  get nScratchRows(): number {
    return this.#decoder?.nScratchRows ?? 0;
  }

  /** Must be called before all methods below. */
  start(): void {
    this.#startMs = performance.now();
    if (this.request.recordsRounds) this.#recorder = new RoundRecorder(this.#parts.tokenizer, this.#startMs);
    this.#decoder = createDecoder(this.#parts, this.request, (drawn) => this.#push(drawn));
    const { ids, promptLogprobs } = this.request;
    if (promptLogprobs !== undefined) this.#scores = new PromptScores(this.#parts.model, ids, promptLogprobs);
    this.#reportScores();
  }

  /** Whether its draft model has tokens to prefill and its proposals are used. */
  get needsDraftPrefill(): boolean {
    return !this.stream.isEnded && this.#startedDecoder.needsDraftPrefill;
  }

  /** Prefills its draft model, once per step. */
  prefillDraft(budget: PrefillBudget): Promise<void> {
    return this.#startedDecoder.prefillDraft(budget, this.stream.signal);
  }

  /** Whether proposals for its first round can be made. */
  get canPropose(): boolean {
    return !this.#startedDecoder.isWaitingForDraft;
  }

  /** Lets its proposers prepare the next round. */
  prepare(): Promise<void> {
    return this.#startedDecoder.prepare(this.stream.signal);
  }

  /** Collects the proposals of its next round, after `prepare`. */
  propose(): ProposingTask {
    const decoder = this.#startedDecoder;
    return { proposing: decoder.propose(), result: decoder.latestResult, fail: (error) => this.fail(error) };
  }

  /** Takes its next round, after `propose`, once the controller has chosen the rounds of all sequences. */
  takeRound(): void {
    this.#startedDecoder.takeRound();
  }

  /** How many of at most `maxPending` pending tokens can run now. Without a chosen round the last one cannot. */
  schedulableTokens(maxPending: number): number {
    return this.#startedDecoder.isBlocked ? Math.min(maxPending, this.nPending - 1) : maxPending;
  }

  plan(maxPending: number): RoundPlan {
    this.#cachedTokens ??= this.kv.length;
    const plan = this.#startedDecoder.plan(this.kv, maxPending);
    return this.isScoring ? (this.#scores?.addTo(plan) ?? plan) : plan;
  }

  /** Applies the results of a forward: streams new tokens and ends if the output does. */
  applyResults(plan: RoundPlan, result: ForwardResult, rows: RoundRows): void {
    const decoder = this.#startedDecoder;
    if (plan.scored !== undefined) {
      this.#scores?.add(plan, result, rows);
      this.#reportScores();
    }
    const drawn = decoder.applyResults(this.#parts.model, this.kv, plan, result, rows);
    const record =
      plan.sampler === undefined
        ? undefined
        : this.#recorder?.record(plan, decoder.acceptedPath, drawn, decoder.forwards);
    if (drawn.length > 0 || record !== undefined) {
      const isFirst = this.#tokens.length === drawn.length;
      this.#reportTokens(drawn.length);
      const tokens = drawn.map(({ token }) => token);
      this.stream.emit({
        ...{ text: this.#detokenizer.takeNew(), tokens, round: extraRows(plan) },
        ...(record !== undefined && { record }),
        ...(isFirst && { cachedTokens: this.#cachedTokens ?? 0 }),
        ...(this.request.settings.logprobs >= 0 && { logprobs: this.#logprobs.slice(-tokens.length) }),
      });
    }
    const { finishReason } = decoder;
    if (finishReason !== undefined) this.end(finishReason);
  }

  /** Tokens drafted since the last call. */
  takeDrafted(): number {
    return this.#decoder?.takeDrafted() ?? 0;
  }

  /** Ends the stream with the output so far. */
  end(finishReason: FinishReason | "cancelled"): void {
    if (this.stream.isEnded) return;
    this.onEnd();
    this.#detokenizer.end();
    const rest = this.#detokenizer.takeNew();
    if (rest !== "") this.stream.emit({ text: rest, tokens: [] });
    const result = this.#result(finishReason);
    this.#parts.observer?.onEnd?.(result, this.#queueMs);
    this.stream.end(result);
  }

  /** Ends the stream with an error. */
  fail(error: unknown): void {
    if (this.stream.isEnded) return;
    this.onEnd();
    this.#parts.observer?.onEnd?.(error instanceof Error ? error : new Error(String(error)), this.#queueMs);
    this.stream.fail(error);
  }

  /** Frees its resources. Not while a forward with its rows runs. */
  async dispose(): Promise<void> {
    const decoder = this.#decoder;
    this.#verified = this.tokens;
    // A session keeps only the tokens.
    this.#decoder = undefined;
    this.kv.release();
    await decoder?.dispose();
  }

  get #startedDecoder(): Decoder {
    if (this.#decoder === undefined) throw new Error("the sequence is not started");
    return this.#decoder;
  }

  get #queueMs(): number {
    return (this.#startMs ?? performance.now()) - this.#createdMs;
  }

  #reportScores(): void {
    const scores = this.#scores?.complete;
    if (scores !== undefined) this.stream.setPromptLogprobs(scores);
  }

  #reportTokens(nTokens: number): void {
    const nowMs = performance.now();
    const beforeMs = this.#drawnMs;
    this.#drawnMs = nowMs;
    this.#parts.observer?.onTokens?.({ tokens: nTokens, ms: beforeMs === undefined ? undefined : nowMs - beforeMs });
  }

  #push({ token, logprob, top = [] }: Drawn): boolean {
    this.#firstTokenMs ??= performance.now();
    this.#tokens.push(token);
    if (logprob !== undefined) this.#logprobs.push({ token, logprob, top });
    return this.#detokenizer.push(token);
  }

  #result(finishReason: GenerationResult["finishReason"]): GenerationResult {
    const { ids, rounds, settings } = this.request;
    const { verification } = rounds;
    const { backend } = this.#parts;
    const { text, stopString } = this.#detokenizer;
    const endMs = performance.now();
    const firstTokenMs = this.#firstTokenMs ?? endMs;
    const decoder = this.#decoder;
    const forwards = decoder?.forwards ?? 0;
    return {
      text,
      tokens: this.#tokens,
      sha256: createHash("sha256").update(text, "utf8").digest("hex"),
      finishReason,
      ...endOf(decoder),
      ...(stopString === undefined ? {} : { stopString }),
      forwards,
      tokensPerForward: forwards === 0 ? 0 : (decoder?.nDrawn ?? 0) / forwards,
      proposedByDepth: decoder?.acceptance.proposed ?? [],
      acceptedByDepth: decoder?.acceptance.accepted ?? [],
      ...(this.request.predicted.length > 0 && { prediction: predictionOf(decoder) }),
      acceptanceByDepth: decoder?.acceptance.byDepth ?? [],
      rounds: decoder?.roundCounts ?? [],
      prefillMs: firstTokenMs - (this.#startMs ?? endMs),
      decodeMs: endMs - firstTokenMs,
      promptTokens: ids.length,
      cachedTokens: this.#cachedTokens ?? 0,
      stride: rounds.stride,
      propose: rounds.propose,
      shape: rounds.shape,
      verify: verification.mode,
      ...(verification.mode === "relaxed" ? { tau: verification.tau } : {}),
      ...(settings.logprobs < 0 ? {} : { logprobs: this.#logprobs }),
      instructionSet: backend.instructionSet,
      threads: backend.threads,
      numerics: backend.numerics,
      lossless: verification.mode !== "relaxed",
    };
  }
}

/** The end token of the output. */
function endOf(decoder: Decoder | undefined): Pick<GenerationResult, "endToken" | "endLogprobs"> {
  if (decoder?.endDrawn === undefined) return {};
  const { token, logprob, top = [] } = decoder.endDrawn;
  return { endToken: token, ...(logprob !== undefined && { endLogprobs: { token, logprob, top } }) };
}

function predictionOf(decoder: Decoder | undefined): NonNullable<GenerationResult["prediction"]> {
  const { proposed = 0, accepted = 0 } = decoder?.acceptance.bySource.get("predicted") ?? {};
  return { accepted, rejected: proposed - accepted };
}
