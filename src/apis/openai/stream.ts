import type { AnswerEvent, RunningAnswer } from "../../answer/types.ts";
import type { TokenLogprobs } from "../../engine/types.ts";
import { type ChatLogprobs, chatLogprobs, type CompletionLogprobs, CompletionLogprobsStream } from "./logprobs.ts";
import type { OpenAiRequest } from "./request.ts";
import { ignoredOf, resultOf } from "../extension.ts";
import { finishReasonOf, headOf, type ResponseContext, usageOf } from "./response.ts";

/** A choice of a chunk, without its index. */
interface ChunkChoice {
  readonly delta?: Readonly<Record<string, unknown>>;
  readonly text?: string;
  readonly logprobs: ChatLogprobs | CompletionLogprobs | null;
  readonly finish_reason: string | null;
}

/** Makes the chunks of one choice. */
interface ChoiceChunks {
  chunks(event: AnswerEvent): readonly ChunkChoice[];
}

/**
 * Chunks of a streamed response, without the `[DONE]` that ends the stream. @throws the error of the answer, which comes
 * before the first chunk if the request is wrong.
 */
export async function* openAiStream(
  request: OpenAiRequest,
  { events, done }: RunningAnswer,
  context: ResponseContext,
): AsyncGenerator<object> {
  const isChat = request.endpoint === "chat";
  const { streamsUsage, rounds } = request;
  const head = {
    ...headOf(request, context, isChat ? "chat.completion.chunk" : "text_completion"),
    choices: [],
    ...(streamsUsage && { usage: null }),
  };
  const writers = new Map<number, ChoiceChunks>();
  let nOpen = request.requests.reduce((sum, { n = 1 }) => sum + n, 0);
  let isFirst = true;
  for await (const event of events) {
    const { choice: index, kind } = event;
    const writer = writers.get(index) ?? (isChat ? new ChatChunks(context) : new CompletionChunks(context));
    writers.set(index, writer);
    if (kind === "end") nOpen--;
    const isLast = nOpen === 0 && rounds && !streamsUsage;
    const own = kind === "round" ? { round: event.round } : isLast ? resultOf((await done).results) : {};
    const chunks = writer.chunks(event);
    for (const [i, chunk] of chunks.entries()) {
      const extension = { ...(isFirst && ignoredOf(request)), ...(i === chunks.length - 1 && own) };
      yield { ...head, choices: [{ index, ...chunk }], ...withExtension(extension) };
      isFirst = false;
    }
  }
  if (!streamsUsage) return;
  const { results } = await done;
  yield { ...head, usage: usageOf(results), ...(rounds && withExtension(resultOf(results))) };
}

/** idlm's own key of a chunk, if there is anything in it. */
function withExtension(idlm: object): { readonly idlm?: object } {
  return Object.keys(idlm).length === 0 ? {} : { idlm };
}

class ChatChunks implements ChoiceChunks {
  readonly #context: ResponseContext;
  #isFirst = true;
  /** Tokens whose text is not in a chunk yet. */
  #logprobs: TokenLogprobs[] = [];

  constructor(context: ResponseContext) {
    this.#context = context;
  }

  chunks(event: AnswerEvent): readonly ChunkChoice[] {
    if (event.kind === "start") return [];
    const first = this.#isFirst ? [this.#chunk({ role: "assistant", content: "" })] : [];
    this.#isFirst = false;
    return [...first, ...this.#following(event)];
  }

  #following(event: AnswerEvent): readonly ChunkChoice[] {
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
        return [...rest, { ...this.#chunk({}), finish_reason: finishReasonOf(event.finishReason) }];
      }
      default:
        return [];
    }
  }

  #call(call: object): ChunkChoice {
    return this.#chunk({ tool_calls: [call] }, this.#takeLogprobs());
  }

  #takeLogprobs(): ChatLogprobs | null {
    const logprobs = this.#logprobs.splice(0);
    return logprobs.length === 0 ? null : chatLogprobs(logprobs, this.#context.tokenizer);
  }

  #chunk(delta: Readonly<Record<string, unknown>>, logprobs: ChatLogprobs | null = null): ChunkChoice {
    return { delta, logprobs, finish_reason: null };
  }
}

class CompletionChunks implements ChoiceChunks {
  readonly #logprobs: CompletionLogprobsStream;
  /** Characters so far. */
  #length = 0;

  constructor({ tokenizer }: ResponseContext) {
    this.#logprobs = new CompletionLogprobsStream(tokenizer);
  }

  chunks(event: AnswerEvent): readonly ChunkChoice[] {
    switch (event.kind) {
      case "text":
        return [this.#text(event.text)];
      case "round":
        return [{ text: "", logprobs: null, finish_reason: null }];
      case "tokens":
        this.#logprobs.push(event.logprobs ?? []);
        return [];
      case "prompt":
        this.#logprobs.echo(event);
        return [this.#text(event.text)];
      case "end": {
        if (event.endLogprobs !== undefined) this.#logprobs.push([event.endLogprobs]);
        const rest = this.#logprobs.end(this.#length);
        const chunk = { text: "", logprobs: rest.tokens.length === 0 ? null : rest };
        return [{ ...chunk, finish_reason: finishReasonOf(event.finishReason) }];
      }
      default:
        return [];
    }
  }

  #text(text: string): ChunkChoice {
    this.#length += Array.from(text).length;
    return { text, logprobs: this.#logprobs.take(this.#length) ?? null, finish_reason: null };
  }
}
