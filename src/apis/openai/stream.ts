import type { Answer, AnswerEvent } from "../../answer/types.ts";
import type { TokenLogprobs } from "../../engine/types.ts";
import { type ChatLogprobs, chatLogprobs, type CompletionLogprobs, CompletionLogprobsStream } from "./logprobs.ts";
import type { OpenAiRequest } from "./request.ts";
import { ignoredOf, resultOf } from "../extension.ts";
import { finishReasonOf, headOf, type ResponseContext, usageOf } from "./response.ts";

/** Makes the chunks of one choice: JSON texts of a choice, without its index and braces. */
interface ChoiceChunks {
  chunks(event: AnswerEvent): readonly string[];
}

/**
 * Chunks of a streamed response, as JSON texts, without the `[DONE]` that ends the stream. What all chunks have in common is
 * written once, since every token has one.
 */
export class OpenAiStream {
  readonly #request: OpenAiRequest;
  readonly #context: ResponseContext;
  readonly #head: string;
  readonly #tail: string;
  readonly #writers = new Map<number, ChoiceChunks>();
  #nOpen: number;
  #isFirst = true;
  /** Records of rounds, by choice: each travels with the text that follows it, and not in a chunk of its own. */
  readonly #rounds = new Map<number, object>();
  /** The last chunk of all choices, if it has the result, which is not known before the end. */
  #last: { readonly choices: string; readonly idlm: object | undefined } | undefined;

  constructor(request: OpenAiRequest, context: ResponseContext) {
    const isChat = request.endpoint === "chat";
    this.#request = request;
    this.#context = context;
    const head = headOf(request, context, isChat ? "chat.completion.chunk" : "text_completion");
    // Up to its closing brace.
    this.#head = JSON.stringify(head).slice(0, -1);
    this.#tail = request.streamsUsage ? ',"usage":null' : "";
    this.#nOpen = request.requests.reduce((sum, { n = 1 }) => sum + n, 0);
  }

  push(event: AnswerEvent): readonly string[] {
    const { choice: index, kind } = event;
    if (kind === "end") this.#nOpen--;
    // Tokens come before their text.
    const round = kind === "tokens" ? undefined : this.#rounds.get(index);
    if (kind === "round") {
      this.#rounds.set(index, event.round);
      // If no text followed the one before, that gets a chunk.
      if (round === undefined) return [];
    }
    const choices = this.#writer(index)
      .chunks(event)
      .map((choice) => `{"index":${index},${choice}}`);
    const last = choices.pop();
    if (last === undefined) return [];
    if (kind !== "round" && round !== undefined) this.#rounds.delete(index);
    const chunks = choices.map((choice) => this.#chunk(choice, this.#ignored()));
    const idlm = round === undefined ? this.#ignored() : { ...this.#ignored(), round };
    const { rounds, streamsUsage } = this.#request;
    if (this.#nOpen === 0 && rounds && !streamsUsage) this.#last = { choices: last, idlm };
    else chunks.push(this.#chunk(last, idlm));
    return chunks;
  }

  /** What follows the last event. */
  end(answer: Answer): readonly string[] {
    const { rounds, streamsUsage } = this.#request;
    const { choices, idlm } = this.#last ?? {};
    const last = choices === undefined ? [] : [this.#chunk(choices, { ...idlm, ...resultOf(answer) })];
    if (!streamsUsage) return last;
    const usage = `,"usage":${JSON.stringify(usageOf(answer.results))}`;
    return [...last, this.#chunk("", rounds ? resultOf(answer) : undefined, usage)];
  }

  #writer(index: number): ChoiceChunks {
    const known = this.#writers.get(index);
    if (known !== undefined) return known;
    const isChat = this.#request.endpoint === "chat";
    const writer = isChat ? new ChatChunks(this.#context) : new CompletionChunks(this.#context);
    this.#writers.set(index, writer);
    return writer;
  }

  /** Keys of the body that were ignored: in the first chunk, if there are any. */
  #ignored(): object | undefined {
    if (!this.#isFirst) return undefined;
    this.#isFirst = false;
    return this.#request.ignored.length === 0 ? undefined : ignoredOf(this.#request);
  }

  /** `idlm`: our own key. */
  #chunk(choices: string, idlm: object | undefined, tail = this.#tail): string {
    const own = idlm === undefined ? "" : `,"idlm":${JSON.stringify(idlm)}`;
    return `${this.#head},"choices":[${choices}]${tail}${own}}`;
  }
}

class ChatChunks implements ChoiceChunks {
  readonly #context: ResponseContext;
  #isFirst = true;
  /** Tokens whose text is not in a chunk yet. */
  #logprobs: TokenLogprobs[] = [];

  constructor(context: ResponseContext) {
    this.#context = context;
  }

  chunks(event: AnswerEvent): readonly string[] {
    if (event.kind === "start") return [];
    const first = this.#isFirst ? [this.#chunk({ role: "assistant", content: "" })] : [];
    this.#isFirst = false;
    return [...first, ...this.#following(event)];
  }

  #following(event: AnswerEvent): readonly string[] {
    switch (event.kind) {
      case "text":
        return [this.#chunk({ content: event.text }, this.#takeLogprobs())];
      case "reasoning":
        return [this.#chunk({ reasoning_content: event.text }, this.#takeLogprobs())];
      case "tool-call": {
        const { index, id, name } = event;
        return [this.#call({ index, id, type: "function", function: { name, arguments: "" } })];
      }
      case "tool-arguments":
        return [this.#call({ index: event.index, function: { arguments: event.text } })];
      case "round":
        return [this.#chunk({})];
      case "tokens":
        this.#logprobs.push(...(event.logprobs ?? []));
        return [];
      case "end": {
        const rest = this.#logprobs.length === 0 ? [] : [this.#chunk({ content: "" }, this.#takeLogprobs())];
        return [...rest, this.#chunk({}, null, finishReasonOf(event.finishReason))];
      }
      default:
        return [];
    }
  }

  #call(call: object): string {
    return this.#chunk({ tool_calls: [call] }, this.#takeLogprobs());
  }

  #takeLogprobs(): ChatLogprobs | null {
    const logprobs = this.#logprobs.splice(0);
    return logprobs.length === 0 ? null : chatLogprobs(logprobs, this.#context.tokenizer);
  }

  #chunk(delta: object, logprobs: ChatLogprobs | null = null, finishReason: string | null = null): string {
    return `"delta":${JSON.stringify(delta)},${endOf(logprobs, finishReason)}`;
  }
}

class CompletionChunks implements ChoiceChunks {
  readonly #logprobs: CompletionLogprobsStream;
  /** Characters so far. */
  #length = 0;

  constructor({ tokenizer }: ResponseContext) {
    this.#logprobs = new CompletionLogprobsStream(tokenizer);
  }

  chunks(event: AnswerEvent): readonly string[] {
    switch (event.kind) {
      case "text":
        return [this.#text(event.text)];
      case "round":
        return [`"text":"",${endOf(null, null)}`];
      case "tokens":
        this.#logprobs.push(event.logprobs ?? []);
        return [];
      case "prompt":
        this.#logprobs.echo(event);
        return [this.#text(event.text)];
      case "end": {
        if (event.endLogprobs !== undefined) this.#logprobs.push([event.endLogprobs]);
        const rest = this.#logprobs.end(this.#length);
        const logprobs = rest.tokens.length === 0 ? null : rest;
        return [`"text":"",${endOf(logprobs, finishReasonOf(event.finishReason))}`];
      }
      default:
        return [];
    }
  }

  #text(text: string): string {
    this.#length += Array.from(text).length;
    return `"text":${JSON.stringify(text)},${endOf(this.#logprobs.take(this.#length) ?? null, null)}`;
  }
}

/** The last keys of a choice. */
function endOf(logprobs: ChatLogprobs | CompletionLogprobs | null, finishReason: string | null): string {
  return `"logprobs":${JSON.stringify(logprobs)},"finish_reason":${JSON.stringify(finishReason)}`;
}
