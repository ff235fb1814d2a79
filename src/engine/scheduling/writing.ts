import { createHash } from "node:crypto";
import type { BackendInfo } from "../../compute/backend.ts";
import type { ForwardResult } from "../../compute/loaded-model.ts";
import type { Drawn } from "../../compute/sampling/draw.ts";
import type { Decoder, FinishReason } from "../../decoding/round/decoder.ts";
import type { ReadBudget } from "../../decoding/proposers/proposer.ts";
import type { ProposingTask } from "../../decoding/round/proposing.ts";
import { extraRows, type RoundPlan, type RoundRows } from "../../decoding/round/round.ts";
import { createDecoder, type DecodingParts } from "./create-decoder.ts";
import type { WritingStream } from "../output/generation.ts";
import type { KvSequence } from "../kv/kv-sequence.ts";
import type { CheckedRequest } from "../request/request.ts";
import { TextWriter } from "../output/text-writer.ts";
import type { GenerationResult, TextTokenizer, TokenLogprobs } from "../types.ts";

/** What texts are written with. */
export interface WritingParts extends DecodingParts {
  readonly backend: BackendInfo;
  readonly tokenizer: TextTokenizer | undefined;
}

/** One text that is being written: its decoder, its pages, what came of it so far and its stream. */
export class Writing {
  readonly request: CheckedRequest;
  readonly kv: KvSequence;
  readonly stream: WritingStream;
  /** Called when it ends, before anybody hears of it. */
  onEnd: () => void = () => {};
  readonly #parts: WritingParts;
  readonly #writer: TextWriter;
  readonly #tokens: number[] = [];
  readonly #logprobs: TokenLogprobs[] = [];
  /** From when it runs first until it is disposed of. */
  #decoder: Decoder | undefined;
  /** Verified tokens where there is no decoder. */
  #verified: readonly number[];
  #startMs: number | undefined;
  #firstTokenMs: number | undefined;
  /** What was there when its first rows ran. */
  #cachedTokens: number | undefined;

  constructor(parts: WritingParts, request: CheckedRequest, kv: KvSequence, stream: WritingStream) {
    this.#parts = parts;
    this.request = request;
    this.#verified = request.ids;
    this.kv = kv;
    this.stream = stream;
    this.#writer = new TextWriter(parts.tokenizer, request.stop);
  }

  /** Verified tokens: the prompt and the text so far. */
  get tokens(): readonly number[] {
    return this.#decoder?.tokens ?? this.#verified;
  }

  /** Verified tokens whose K and V are not there. */
  get nPending(): number {
    return this.tokens.length - this.kv.length;
  }

  /** Rows of its next round beside its verified tokens. */
  get nScratchRows(): number {
    return this.#decoder?.nScratchRows ?? 0;
  }

  /** Before everything else. */
  begin(): void {
    this.#startMs = performance.now();
    this.#decoder = createDecoder(this.#parts, this.request, (drawn) => this.#push(drawn));
  }

  /** Whether those that propose for it are behind, and wanted. */
  get isReading(): boolean {
    return !this.stream.isEnded && this.#begun.isReading;
  }

  /** They read on, once in every step. */
  read(budget: ReadBudget): Promise<void> {
    return this.#begun.read(budget, this.stream.signal);
  }

  /** Whether its first round can be chosen. */
  get mayChoose(): boolean {
    return !this.#begun.isWaiting;
  }

  /** Lets its proposers work ahead of the next round. */
  prepare(): Promise<void> {
    return this.#begun.prepare(this.stream.signal);
  }

  /** Chooses its next round, after `prepare`. */
  choose(): ProposingTask {
    const decoder = this.#begun;
    return { proposing: decoder.choose(), result: decoder.latestResult, fail: (error) => this.fail(error) };
  }

  /** Of at most so many verified tokens those that it can feed: the last one draws. */
  feedable(maxPending: number): number {
    return this.#begun.isBlocked ? Math.min(maxPending, this.nPending - 1) : maxPending;
  }

  plan(maxPending: number): RoundPlan {
    this.#cachedTokens ??= this.kv.length;
    return this.#begun.plan(this.kv, maxPending);
  }

  /** Applies its results of a forward: streams the new tokens, and ends where the output does. */
  applyResults(plan: RoundPlan, result: ForwardResult, rows: RoundRows): void {
    const decoder = this.#begun;
    const written = decoder.applyResults(this.#parts.model, this.kv, plan, result, rows);
    if (written.length > 0) {
      const tokens = written.map(({ token }) => token);
      this.stream.emit({ text: this.#writer.takeNew(), tokens, round: extraRows(plan) });
    }
    const { finishReason } = decoder;
    if (finishReason !== undefined) this.end(finishReason);
  }

  /** Tokens that were drafted for it since this was asked. */
  takeDrafted(): number {
    return this.#decoder?.takeDrafted() ?? 0;
  }

  /** Ends the stream with what is written so far. */
  end(finishReason: FinishReason | "cancelled"): void {
    if (this.stream.isEnded) return;
    this.onEnd();
    this.#writer.end();
    const rest = this.#writer.takeNew();
    if (rest !== "") this.stream.emit({ text: rest, tokens: [] });
    this.stream.end(this.#result(finishReason));
  }

  /** Ends the stream with an error. */
  fail(error: unknown): void {
    if (this.stream.isEnded) return;
    this.onEnd();
    this.stream.fail(error);
  }

  /** Frees what it holds; not while a forward of it runs. */
  async dispose(): Promise<void> {
    const decoder = this.#decoder;
    this.#verified = this.tokens;
    // A session keeps the text only.
    this.#decoder = undefined;
    this.kv.release();
    await decoder?.dispose();
  }

  get #begun(): Decoder {
    if (this.#decoder === undefined) throw new Error("a text that has not begun");
    return this.#decoder;
  }

  #push({ token, logprob, top = [] }: Drawn): boolean {
    this.#firstTokenMs ??= performance.now();
    this.#tokens.push(token);
    if (logprob !== undefined) this.#logprobs.push({ token, logprob, top });
    return this.#writer.push(token);
  }

  #result(finishReason: GenerationResult["finishReason"]): GenerationResult {
    const { ids, rounds, settings } = this.request;
    const { verification } = rounds;
    const { backend } = this.#parts;
    const { text } = this.#writer;
    const endMs = performance.now();
    const firstTokenMs = this.#firstTokenMs ?? endMs;
    const decoder = this.#decoder;
    const forwards = decoder?.forwards ?? 0;
    return {
      text,
      tokens: this.#tokens,
      sha256: createHash("sha256").update(text, "utf8").digest("hex"),
      finishReason,
      forwards,
      tokensPerForward: forwards === 0 ? 0 : (decoder?.nDrawn ?? 0) / forwards,
      proposedByDepth: decoder?.acceptance.proposed ?? [],
      acceptedByDepth: decoder?.acceptance.accepted ?? [],
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
