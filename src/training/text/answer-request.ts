import type { ChatMessage, Model } from "../../engine/types.ts";
import { IdlmError } from "../../errors.ts";
import { Random, Stream } from "../random.ts";
import type { ChatFormat } from "./chat-format.ts";
import { type GeneratedText, generateText } from "./generate.ts";
import { isHeldOut } from "./prompts/held-out.ts";
import { type Prompt, userPrompt } from "./prompts/prompt.ts";
import { PASSAGE } from "./prompts/tasks.ts";
import { isQuestion, type Questions } from "./questions.ts";
import type { TextRequest } from "./request-plan.ts";
import type { DropReason, TextFinish, TextOutcome } from "./row.ts";

/** Tokens of prompts and answers. */
export interface TextLimits {
  readonly context: number;
  readonly maxPromptTokens: number;
  readonly maxAnswerTokens: number;
}

const MAX_QUESTION_TOKENS = 128;
const MAX_PASSAGE_TOKENS = 160;
const PASSAGE_TEMPERATURE = 0.7;
/** An answer that repeats itself sooner is nothing but a loop. */
const MIN_CUT_TOKENS = 8;

export interface AnswerParts {
  readonly model: Model;
  readonly format: ChatFormat;
  readonly limits: TextLimits;
  readonly questions: Questions;
  /** Of the whole text. */
  readonly seed: number;
  readonly signal: AbortSignal;
}

/** Why a request yields no row. */
class Dropped extends Error {
  constructor(readonly reason: DropReason) {
    super(reason);
  }
}

/** Runs one request: samples its question or passage where it has one, and has all turns of the user answered. */
export function answerRequest(parts: AnswerParts, request: TextRequest): Promise<TextOutcome> {
  // Before anything is waited for, since places are taken in the order of requests.
  const decide = request.prompt === undefined ? parts.questions.reserve() : undefined;
  return new RequestAnswer(parts, request).run(decide);
}

class RequestAnswer {
  readonly #parts: AnswerParts;
  readonly #request: TextRequest;
  readonly #messages: ChatMessage[] = [];
  #ids: readonly number[] = [];
  #mask: readonly number[] = [];
  #finish: TextFinish = "end";
  #isHeldOut: boolean;
  #question = "";

  constructor(parts: AnswerParts, request: TextRequest) {
    this.#parts = parts;
    this.#request = request;
    this.#isHeldOut = request.isHeldOut;
  }

  async run(decide: ((text: string | undefined) => Promise<boolean>) | undefined): Promise<TextOutcome> {
    const { index, source, temperature, seed, prompt } = this.#request;
    try {
      if (prompt !== undefined) this.#question = prompt.opening.at(-1)?.content ?? "";
      if (this.#request.isRepeated) throw new Dropped("repeated-prompt");
      await this.#answer(decide === undefined ? await this.#withPassage(prompt as Prompt) : await this.#sample(decide));
      const split = this.#isHeldOut ? "held-out" : "train";
      const chat = { messages: this.#messages, ids: this.#ids, response_mask: this.#mask };
      return { row: { index, source, split, ...chat, temperature, seed, finish: this.#finish } };
    } catch (error) {
      if (!(error instanceof Dropped)) throw error;
      return { dropped: { index, source, reason: error.reason, prompt: this.#question } };
    }
  }

  /** Samples the user's turn. */
  async #sample(decide: (text: string | undefined) => Promise<boolean>): Promise<Prompt> {
    const { model, format, seed, signal } = this.#parts;
    let text: string | undefined;
    try {
      const end = format.questionEnd;
      const { tokens, finish } = await generateText(model, format.questionOpening, {
        temperature: 1,
        seed: new Random(seed, Stream.questions, this.#request.index).seed(),
        maxTokens: this.#fitting(MAX_QUESTION_TOKENS, format.questionOpening.length),
        ...(end !== undefined && { endToken: end }),
        signal,
      });
      this.#question = format.tokenizer.decode(tokens).trim();
      if (finish === "end" && !format.hasControlToken(tokens) && isQuestion(this.#question)) text = this.#question;
    } finally {
      if (text === undefined) await decide(undefined);
    }
    if (text === undefined) throw new Dropped("no-question");
    if (!(await decide(text))) throw new Dropped("near-duplicate-question");
    this.#isHeldOut = isHeldOut(text);
    return userPrompt(text, [text]);
  }

  /** Has the passage written that the prompt is about. */
  async #withPassage(prompt: Prompt): Promise<Prompt> {
    if (prompt.passageRequest === undefined) return prompt;
    const { format, seed } = this.#parts;
    const ids = await this.#render([{ role: "user", content: prompt.passageRequest }]);
    const passage = await this.#generate(ids, {
      temperature: PASSAGE_TEMPERATURE,
      seed: new Random(seed, Stream.passages, this.#request.index).seed(),
      maxTokens: MAX_PASSAGE_TOKENS,
    });
    const text = format.tokenizer.decode(passage.tokens).trim();
    const opening = prompt.opening.map(({ role, content }) => ({
      role,
      content: content.replace(PASSAGE, () => text),
    }));
    this.#question = opening.at(-1)?.content ?? "";
    return { ...prompt, opening };
  }

  async #answer({ opening, further }: Prompt): Promise<void> {
    const { temperature, seed } = this.#request;
    this.#messages.push(...opening);
    for (const turn of [undefined, ...further]) {
      if (turn !== undefined) this.#messages.push({ role: "user", content: turn });
      try {
        const prompt = await this.#render(this.#messages);
        const { maxAnswerTokens: maxTokens } = this.#parts.limits;
        this.#add(prompt, await this.#generate(prompt, { temperature, seed, maxTokens }));
      } catch (error) {
        if (!(error instanceof Dropped) || turn === undefined) throw error;
        // The turns before have their answers.
        this.#messages.pop();
        return;
      }
      if (this.#finish !== "end") return;
    }
  }

  #add(prompt: readonly number[], { tokens, endToken, finish }: GeneratedText): void {
    const { tokenizer } = this.#parts.format;
    const answer = endToken === undefined ? tokens : [...tokens, endToken];
    // What a template or the tokenizer renders differently from how it was written counts as prompt.
    const isSame = this.#ids.every((id, i) => id === prompt[i]);
    const before = isSame ? this.#mask : [];
    this.#ids = [...prompt, ...answer];
    this.#mask = [...before, ...Array<number>(prompt.length - before.length).fill(0), ...answer.map(() => 1)];
    this.#messages.push({ role: "assistant", content: tokenizer.decode(tokens) });
    this.#finish = finish;
  }

  async #render(messages: readonly ChatMessage[]): Promise<readonly number[]> {
    const { format, limits } = this.#parts;
    let ids: readonly number[];
    try {
      ids = await format.encode(messages);
    } catch (error) {
      // Some templates take no system message, or want turns to alternate.
      if (error instanceof IdlmError && error.code === "usage") throw new Dropped("template-rejects");
      throw error;
    }
    if (ids.length > limits.maxPromptTokens) throw new Dropped("prompt-too-long");
    return ids;
  }

  async #generate(
    ids: readonly number[],
    options: { readonly temperature: number; readonly seed: number; readonly maxTokens: number },
  ): Promise<GeneratedText> {
    const { model, format, signal } = this.#parts;
    const maxTokens = this.#fitting(options.maxTokens, ids.length);
    const text = await generateText(model, ids, { ...options, maxTokens, signal });
    if (text.tokens.length === 0 || format.tokenizer.decode(text.tokens).trim() === "")
      throw new Dropped("empty-answer");
    if (text.finish === "cut" && text.tokens.length < MIN_CUT_TOKENS) throw new Dropped("loop");
    if (format.hasControlToken(text.tokens)) throw new Dropped("control-token");
    return text;
  }

  #fitting(maxTokens: number, nPrompt: number): number {
    return Math.min(maxTokens, this.#parts.limits.context - nPrompt);
  }
}
