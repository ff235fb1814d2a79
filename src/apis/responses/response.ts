import type { Answer, AnswerEvent, AnswerFinishReason } from "../../answer/types.ts";
import type { TextTokenizer, TokenLogprobs } from "../../engine/types.ts";
import { extensionBody } from "../extension.ts";
import { chatLogprobs } from "../openai/logprobs.ts";
import { type ItemChange, type OutputItem, OutputItems } from "../output-items.ts";
import type { ResponsesRequest } from "./request.ts";
import type { ResponseObject } from "./stored-responses.ts";

/** An event of a stream. */
export interface ResponsesEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface ResponsesContext {
  /** Without prefix. */
  readonly id: string;
  /** As named in the request. */
  readonly model: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly tokenizer: TextTokenizer | undefined;
}

type Status = "in_progress" | "completed" | "incomplete";

/** Turns the events of an answer into a response, and into the events of its stream. */
export class ResponseBuilder {
  readonly #request: ResponsesRequest;
  readonly #context: ResponsesContext;
  readonly #items = new OutputItems();
  #sequence = 0;

  constructor(request: ResponsesRequest, context: ResponsesContext) {
    this.#request = request;
    this.#context = context;
  }

  push(event: AnswerEvent): readonly ResponsesEvent[] {
    if (event.kind === "start") {
      const response = { ...this.#head("in_progress"), output: [], usage: null };
      return [this.#event("response.created", { response }), this.#event("response.in_progress", { response })];
    }
    // The official client fails at unknown events, and leaves these out.
    if (event.kind === "round") return [this.#event("keepalive", { idlm: { round: event.round } })];
    const status = event.kind === "end" && !isWhole(event.finishReason) ? "incomplete" : "completed";
    return this.#items.push(event).flatMap((change) => this.#changed(change, status));
  }

  /** The last event of a stream. */
  end(answer: Answer): readonly ResponsesEvent[] {
    const response = this.body(answer);
    return [this.#event(`response.${String(response.status)}`, { response })];
  }

  /** The event of an error while the answer is streamed. */
  failed(message: string): readonly ResponsesEvent[] {
    const error = { code: "server_error", message };
    const response = {
      ...this.#head("in_progress"),
      status: "failed",
      error,
      output: this.#output("incomplete"),
      usage: null,
    };
    return [this.#event("response.failed", { response })];
  }

  /** The response, after all events. */
  body(answer: Answer): ResponseObject {
    const [choice, result] = [answer.choices[0], answer.results[0]];
    if (choice === undefined || result === undefined) throw new Error("an answer without a choice");
    const status = isWhole(choice.finishReason) ? "completed" : "incomplete";
    const nOutput = choice.completion.tokens.length;
    return {
      ...this.#head(status),
      output: this.#output(status),
      usage: {
        input_tokens: result.promptTokens,
        input_tokens_details: { cached_tokens: result.cachedTokens, cache_write_tokens: 0 },
        output_tokens: nOutput,
        output_tokens_details: { reasoning_tokens: this.#items.nReasoningTokens },
        total_tokens: result.promptTokens + nOutput,
      },
      idlm: extensionBody(this.#request.answer, answer),
    };
  }

  #head(status: Status) {
    const { id, model, created } = this.#context;
    return {
      ...{ id: `resp_${id}`, object: "response", created_at: created, status, model, error: null },
      ...this.#request.echo,
      // The API has no other reason for an answer that was cut off.
      incomplete_details: status === "incomplete" ? { reason: "max_output_tokens" } : null,
      completed_at: status === "completed" ? Math.floor(Date.now() / 1000) : null,
    };
  }

  /** Only the last item of an answer that was cut off is incomplete. */
  #output(status: Status) {
    const { items } = this.#items;
    return items.map((item, index) => this.#item(item, index, index === items.length - 1 ? status : "completed"));
  }

  #item(item: OutputItem, index: number, status: Status) {
    const id = this.#itemId(item, index);
    if (item.kind === "tool-call") {
      return { id, type: "function_call", status, call_id: item.id, name: item.name, arguments: item.text };
    }
    // Items are opened empty; the parts come in events of their own.
    const content = status === "in_progress" ? [] : [this.#part(item)];
    return item.kind === "text"
      ? { id, type: "message", status, role: "assistant", content }
      : { id, type: "reasoning", status, summary: [], content };
  }

  #itemId({ kind }: OutputItem, index: number): string {
    const prefix = { "tool-call": "fc", text: "msg", reasoning: "rs" }[kind];
    return `${prefix}_${this.#context.id}${index}`;
  }

  #part(item: OutputItem & { readonly kind: "text" | "reasoning" }) {
    if (item.kind === "reasoning") return { type: "reasoning_text", text: item.text };
    return { type: "output_text", text: item.text, annotations: [], logprobs: this.#logprobs(item.logprobs) };
  }

  #logprobs(logprobs: readonly TokenLogprobs[]) {
    return logprobs.length === 0 ? [] : chatLogprobs(logprobs, this.#context.tokenizer).content;
  }

  /** `status` of an item that the change closes. */
  #changed(change: ItemChange, status: Status): readonly ResponsesEvent[] {
    const { index: output_index, item } = change;
    const at = { item_id: this.#itemId(item, output_index), output_index };
    const inPart = { ...at, content_index: 0 };
    if (change.change === "delta") {
      const { delta } = change;
      if (item.kind === "tool-call") return [this.#event("response.function_call_arguments.delta", { ...at, delta })];
      if (item.kind === "reasoning") return [this.#event("response.reasoning_text.delta", { ...inPart, delta })];
      const logprobs = this.#logprobs(change.logprobs);
      return [this.#event("response.output_text.delta", { ...inPart, delta, logprobs })];
    }
    if (change.change === "open") {
      const added = this.#item(item, output_index, "in_progress");
      const events = [this.#event("response.output_item.added", { output_index, item: added })];
      if (item.kind === "tool-call") return events;
      return [...events, this.#event("response.content_part.added", { ...inPart, part: this.#part(item) })];
    }
    const done = () =>
      this.#event("response.output_item.done", { output_index, item: this.#item(item, output_index, status) });
    if (item.kind === "tool-call") {
      const call = { ...at, name: item.name, arguments: item.text };
      return [this.#event("response.function_call_arguments.done", call), done()];
    }
    const logprobs = item.kind === "text" ? { logprobs: this.#logprobs(item.logprobs) } : {};
    const name = item.kind === "text" ? "output_text" : "reasoning_text";
    return [
      this.#event(`response.${name}.done`, { ...inPart, text: item.text, ...logprobs }),
      this.#event("response.content_part.done", { ...inPart, part: this.#part(item) }),
      done(),
    ];
  }

  #event(type: string, data: Readonly<Record<string, unknown>>): ResponsesEvent {
    return { event: type, data: { type, sequence_number: this.#sequence++, ...data } };
  }
}

function isWhole(finishReason: AnswerFinishReason): boolean {
  return finishReason === "stop" || finishReason === "tool_calls";
}
