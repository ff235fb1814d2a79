import { createHash, randomUUID } from "node:crypto";
import type { Choice, Generation, GenerationResult, Model } from "../engine/types.ts";
import type { ToolFormat } from "../grammar/tool-calls.ts";
import { bestOf } from "./best-of.ts";
import { echoedPrompts } from "./echo.ts";
import { messageOf, messageReader } from "./message-reader.ts";
import { beginsInReasoning } from "./reasoning.ts";
import { DEFAULT_TOOL_FORMAT, demandsCall } from "./tool-grammar.ts";
import type { Answer, AnswerFinishReason, AnswerRequest, EchoedPrompt, MessageReader } from "./types.ts";

/** Reads the messages of an answer: the same ones in its stream and in its finished form. */
export class Messages {
  readonly #request: AnswerRequest;
  readonly #id: string;
  readonly #toolFormat: ToolFormat;
  readonly #opensReasoning: Promise<readonly boolean[]>;
  /** If the request echoes the prompts. */
  readonly #prompts: readonly Promise<EchoedPrompt>[];

  constructor(model: Model, request: AnswerRequest, generations: readonly Generation[]) {
    this.#request = request;
    this.#prompts = echoedPrompts(model, request, generations);
    this.#id = request.id ?? randomUUID();
    this.#toolFormat = model.tokenizer?.toolFormat ?? DEFAULT_TOOL_FORMAT;
    const opens = generations.map(async ({ promptIds }, prompt) => {
      // A grammar leaves no place for reasoning.
      const hasGrammar = request.requests[prompt]?.grammar !== undefined || demandsCall(request.format);
      if (request.format?.reasoning !== true || hasGrammar) return false;
      return beginsInReasoning(model.tokenizer, await promptIds);
    });
    this.#opensReasoning = Promise.all(opens);
    // The results reject with the same error.
    this.#opensReasoning.catch(() => {});
  }

  /** What comes before the text of a choice. */
  async opening(prompt: number): Promise<readonly EchoedPrompt[]> {
    const echoed = await this.#prompts[prompt];
    return echoed === undefined ? [] : [echoed];
  }

  async reader(prompt: number, choice: number): Promise<MessageReader> {
    const opensReasoning = (await this.#opensReasoning)[prompt] === true;
    const callId = (index: number) => this.#callId(choice, index);
    return messageReader(this.#request.format, { opensReasoning, callId, toolFormat: this.#toolFormat });
  }

  async answer(generated: readonly GenerationResult[]): Promise<Answer> {
    const results = this.#request.isEmpty === true ? generated.map(emptied) : generated;
    const completions = results.flatMap((result, prompt) =>
      bestOf(result, this.#request).map((completion) => ({ prompt, completion })),
    );
    const choices = completions.map(async ({ prompt, completion }, index) => {
      return { index, prompt, completion, ...messageFrom(await this.reader(prompt, index), completion) };
    });
    const answer = { results, choices: await Promise.all(choices) };
    return this.#request.echo !== true ? answer : { ...answer, prompts: await Promise.all(this.#prompts) };
  }

  #callId(choice: number, index: number): string {
    return `call_${createHash("sha256").update(`${this.#id} ${choice} ${index}`).digest("hex").slice(0, 24)}`;
  }
}

function messageFrom(reader: MessageReader, { text, finishReason }: Omit<Choice, "index">) {
  const message = messageOf([...reader.push(text), ...reader.end()]);
  const isCall = message.toolCalls.length > 0 && finishReason === "stop";
  const reason: AnswerFinishReason = isCall ? "tool_calls" : finishReason;
  return { ...message, finishReason: reason };
}

function emptied(result: GenerationResult): GenerationResult {
  const empty = <One extends Omit<Choice, "index">>({
    endToken: _,
    endLogprobs: __,
    stopString: ___,
    ...one
  }: One) => ({
    ...one,
    ...{ text: "", tokens: [], finishReason: "length" as const },
    ...(one.logprobs !== undefined && { logprobs: [] }),
  });
  return { ...empty(result), ...(result.choices !== undefined && { choices: result.choices.map(empty) }) };
}
