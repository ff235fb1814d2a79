import type { Answer, AnswerEvent, AnsweredChoice } from "../../answer/types.ts";
import type { GenerationResult } from "../../engine/types.ts";
import { callArguments } from "../call-arguments.ts";
import { type ExtensionRequest, extensionBody } from "../extension.ts";
import { type ItemChange, type OutputItem, OutputItems } from "../output-items.ts";

/** An event of a stream: its name and its data, which has the same `type`. */
export interface MessagesEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface MessageContext {
  /** Without prefix. */
  readonly id: string;
  /** As named in the request. */
  readonly model: string;
  readonly asked: ExtensionRequest;
}

/** Turns the events of an answer into a message, and into the events of its stream. */
export class MessageBuilder {
  readonly #context: MessageContext;
  readonly #items = new OutputItems();

  constructor(context: MessageContext) {
    this.#context = context;
  }

  push(event: AnswerEvent): readonly MessagesEvent[] {
    if (event.kind === "start") {
      const message = { ...this.#message([]), usage: { ...usageOf(event), output_tokens: 0 } };
      return [named({ type: "message_start", message }), named({ type: "ping" })];
    }
    // Clients ignore pings, so the records of rounds are sent in them.
    if (event.kind === "round") return [named({ type: "ping", idlm: { round: event.round } })];
    return this.#items.push(event).flatMap(changeEvents);
  }

  /** The last events of a stream. */
  end(answer: Answer): readonly MessagesEvent[] {
    const { stop_reason, stop_sequence, usage, idlm } = this.#ending(answer);
    const delta = { stop_reason, stop_sequence, container: null, stop_details: null };
    return [named({ type: "message_delta", delta, usage, idlm }), named({ type: "message_stop" })];
  }

  /** The message, after all events. */
  body(answer: Answer): Readonly<Record<string, unknown>> {
    return { ...this.#message(this.#items.items.map(blockOf)), ...this.#ending(answer) };
  }

  #message(content: readonly unknown[]) {
    const { id, model } = this.#context;
    return {
      ...{ id: `msg_${id}`, type: "message", role: "assistant", model, content },
      ...{ stop_reason: null as string | null, stop_sequence: null as string | null },
      ...{ stop_details: null, container: null, diagnostics: null },
    };
  }

  #ending(answer: Answer) {
    const { choices, results } = answer;
    const [choice, result] = [choices[0], results[0]];
    if (choice === undefined || result === undefined) throw new Error("an answer without a choice");
    const idlm = extensionBody(this.#context.asked, answer);
    const output_tokens = choice.completion.tokens.length;
    const usage = { ...usageOf(result), output_tokens };
    const stop_sequence = choice.completion.stopString ?? null;
    return { stop_reason: stopReason(choice), stop_sequence, usage, idlm };
  }
}

/** The API counts cached tokens apart. */
function usageOf({ promptTokens, cachedTokens }: Pick<GenerationResult, "promptTokens" | "cachedTokens">) {
  return {
    input_tokens: promptTokens - cachedTokens,
    cache_read_input_tokens: cachedTokens,
    ...{ cache_creation_input_tokens: 0, cache_creation: null, server_tool_use: null, service_tier: "standard" },
    ...{ inference_geo: null, output_tokens_details: null, speed: null },
  };
}

function stopReason({ finishReason, completion }: AnsweredChoice): string {
  if (finishReason === "tool_calls") return "tool_use";
  if (finishReason === "stop") return completion.stopString === undefined ? "end_turn" : "stop_sequence";
  // A cancelled answer is cut off as well.
  return "max_tokens";
}

function blockOf(item: OutputItem) {
  if (item.kind === "tool-call") {
    return {
      type: "tool_use",
      id: item.id,
      name: item.name,
      input: callArguments(item.text),
      caller: { type: "direct" },
    };
  }
  return item.kind === "text"
    ? { type: "text", text: item.text, citations: null }
    : { type: "thinking", thinking: item.text, signature: "" };
}

function changeEvents(change: ItemChange): MessagesEvent[] {
  const { index, item } = change;
  if (change.change === "open") return [named({ type: "content_block_start", index, content_block: blockOf(item) })];
  if (change.change === "delta") {
    return [named({ type: "content_block_delta", index, delta: deltaOf(item, change.delta) })];
  }
  const stop = named({ type: "content_block_stop", index });
  const signature = { type: "content_block_delta", index, delta: { type: "signature_delta", signature: "" } };
  return item.kind === "reasoning" ? [named(signature), stop] : [stop];
}

function deltaOf({ kind }: OutputItem, text: string) {
  if (kind === "text") return { type: "text_delta", text };
  return kind === "reasoning"
    ? { type: "thinking_delta", thinking: text }
    : { type: "input_json_delta", partial_json: text };
}

function named(data: { readonly type: string } & Readonly<Record<string, unknown>>): MessagesEvent {
  return { event: data.type, data };
}
