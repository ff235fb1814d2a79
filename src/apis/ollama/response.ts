import type { Answer, AnswerEvent } from "../../answer/types.ts";
import type { GenerationResult, TextTokenizer, TokenLogprobs } from "../../engine/types.ts";
import type { KeyNames } from "../../errors.ts";
import { callArguments } from "../call-arguments.ts";
import { type ExtensionRequest, extensionBody } from "../extension.ts";
import { failureOf } from "../failure.ts";
import { chatLogprobs } from "../openai/logprobs.ts";
import { type OutputItem, OutputItems } from "../output-items.ts";
import type { OllamaEndpoint } from "./request.ts";

/** A line of a stream, or a body. */
export type OllamaObject = Readonly<Record<string, unknown>>;

export interface OllamaContext {
  /** As named in the request. */
  readonly model: string;
  readonly created: Date;
  readonly tokenizer: TextTokenizer | undefined;
  readonly asked: ExtensionRequest;
}

const NS_PER_MS = 1e6;

/** Turns the events of an answer into a body, and into the lines of its stream. */
export class OllamaBuilder {
  readonly #endpoint: OllamaEndpoint;
  readonly #context: OllamaContext;
  readonly #items = new OutputItems();

  constructor(endpoint: OllamaEndpoint, context: OllamaContext) {
    this.#endpoint = endpoint;
    this.#context = context;
  }

  /** Calls are written whole, after their last part. */
  push(event: AnswerEvent): readonly OllamaObject[] {
    if (event.kind === "round") return [{ ...this.#line([]), idlm: { round: event.round } }];
    return this.#items.push(event).flatMap((change) => {
      const { item } = change;
      if (item.kind === "tool-call") {
        return change.change === "close" ? [this.#line([item], this.#nCalls(change.index))] : [];
      }
      if (change.change !== "delta") return [];
      return [this.#line([{ ...item, text: change.delta, logprobs: change.logprobs }])];
    });
  }

  /** The last line of a stream. */
  end(answer: Answer): OllamaObject {
    return { ...this.#line([]), ...this.#ending(answer) };
  }

  /** The body, after all events. */
  body(answer: Answer): OllamaObject {
    return { ...this.#line(this.#items.items), ...this.#ending(answer) };
  }

  /** The body of a request without a prompt. */
  loaded(doneReason: "load" | "unload"): OllamaObject {
    return { ...this.#line([]), done: true, done_reason: doneReason };
  }

  /** `firstCall`: calls of the answer before the line. */
  #line(items: readonly OutputItem[], firstCall = 0): OllamaObject {
    const { model, created, tokenizer } = this.#context;
    const head = { model, created_at: created.toISOString() };
    const joined = (kind: OutputItem["kind"]) => items.map((one) => (one.kind === kind ? one.text : "")).join("");
    const [text, thinking] = [joined("text"), joined("reasoning")];
    const calls = items.flatMap((one) => (one.kind === "tool-call" ? [one] : []));
    const logprobs = items.flatMap((one) => (one.kind === "tool-call" ? [] : one.logprobs));
    const more = {
      ...(thinking !== "" && { thinking }),
      ...(calls.length > 0 && { tool_calls: calls.map((call, i) => callOf(call, firstCall + i)) }),
    };
    const content =
      this.#endpoint === "chat"
        ? { message: { role: "assistant", content: text, ...more } }
        : { response: text, ...more };
    return { ...head, ...content, done: false, ...shownLogprobs(logprobs, tokenizer) };
  }

  #nCalls(before: number): number {
    return this.#items.items.slice(0, before).filter(({ kind }) => kind === "tool-call").length;
  }

  #ending(answer: Answer) {
    const { choices, results } = answer;
    const [choice, result] = [choices[0], results[0]];
    if (choice === undefined || result === undefined) throw new Error("an answer without a choice");
    const idlm = extensionBody(this.#context.asked, answer);
    const isWhole = choice.finishReason === "stop" || choice.finishReason === "tool_calls";
    return { done: true, done_reason: isWhole ? "stop" : "length", ...metricsOf(result), idlm };
  }
}

function metricsOf({ prefillMs, decodeMs, promptTokens, tokens }: GenerationResult) {
  const nanoseconds = (ms: number) => Math.round(ms * NS_PER_MS);
  return {
    ...{ total_duration: nanoseconds(prefillMs + decodeMs), load_duration: 0 },
    ...{ prompt_eval_count: promptTokens, prompt_eval_duration: nanoseconds(prefillMs) },
    ...{ eval_count: tokens.length, eval_duration: nanoseconds(decodeMs) },
  };
}

function callOf(call: OutputItem & { readonly kind: "tool-call" }, index: number) {
  return { id: call.id, function: { index, name: call.name, arguments: callArguments(call.text) } };
}

function shownLogprobs(logprobs: readonly TokenLogprobs[], tokenizer: TextTokenizer | undefined) {
  return logprobs.length === 0 ? {} : { logprobs: chatLogprobs(logprobs, tokenizer).content };
}

/** HTTP status and body of the response to a failed request. `names`: the request's names of keys. */
export function ollamaError(error: unknown, names: KeyNames): { readonly status: number; readonly body: unknown } {
  const { status, message } = failureOf(error, names);
  return { status, body: { error: message } };
}
