import type { Answer, AnswerEvent, AnsweredChoice } from "../../answer/types.ts";
import type { GenerationResult, TextTokenizer, TokenLogprobs } from "../../engine/types.ts";
import { type ExtensionRequest, extensionBody } from "../extension.ts";
import type { LlamaRequest } from "./request.ts";

export type LlamaObject = Readonly<Record<string, unknown>>;

export interface LlamaContext {
  readonly model: string;
  readonly contextLength: number;
  readonly tokenizer: TextTokenizer | undefined;
  /** Ids of the prompts. */
  readonly prompts: readonly (readonly number[])[];
  readonly detokenize: (ids: readonly number[]) => string;
  readonly asked: ExtensionRequest;
}

/** What of a completion was not streamed yet. */
interface Pending {
  text: string;
  tokens: number[];
  logprobs: TokenLogprobs[];
  nPredicted: number;
}

/** Turns the events of an answer into chunks of a stream, and the answer into a body. */
export class LlamaBuilder {
  readonly #request: LlamaRequest;
  readonly #context: LlamaContext;
  readonly #pending = new Map<number, Pending>();
  /** Tokens of the prompt of each choice. */
  #promptTokens = 0;

  constructor(request: LlamaRequest, context: LlamaContext) {
    this.#request = request;
    this.#context = context;
  }

  /** Each chunk has tokens; text that comes without any is in the chunk after it. */
  push(event: AnswerEvent): readonly LlamaObject[] {
    const index = event.choice;
    if (event.kind === "start") this.#promptTokens = event.promptTokens;
    if (event.kind === "round") return [{ index, content: "", tokens: [], stop: false, idlm: { round: event.round } }];
    const pending = this.#pendingOf(index);
    if (event.kind === "tokens") {
      pending.tokens.push(...event.tokens);
      pending.logprobs.push(...(event.logprobs ?? []));
      pending.nPredicted += event.tokens.length;
    }
    if (event.kind !== "text") return [];
    pending.text += event.text;
    return pending.tokens.length === 0 ? [] : this.#chunks(index, pending);
  }

  /** The last chunks of a stream. */
  end(answer: Answer): readonly LlamaObject[] {
    return answer.choices.map((choice) => {
      const { text, tokens } = this.#pendingOf(choice.index);
      return this.#selected({ ...this.#final(choice, answer), content: text, tokens });
    });
  }

  body(answer: Answer): unknown {
    const bodies = answer.choices.map((choice) => {
      const { text: content, completion } = choice;
      const { logprobs } = completion;
      return this.#selected({
        ...this.#final(choice, answer),
        content,
        tokens: this.#request.returnsTokens ? completion.tokens : [],
        ...(logprobs !== undefined && { completion_probabilities: logprobs.map((one) => this.#shown(one)) }),
      });
    });
    return this.#request.isList ? bodies : bodies[0];
  }

  #pendingOf(index: number): Pending {
    const pending = this.#pending.get(index) ?? { text: "", tokens: [], logprobs: [], nPredicted: 0 };
    this.#pending.set(index, pending);
    return pending;
  }

  /** With log-probabilities a chunk for each token, the last one with the text. */
  #chunks(index: number, pending: Pending): readonly LlamaObject[] {
    const { text, tokens, logprobs, nPredicted } = pending;
    this.#pending.set(index, { text: "", tokens: [], logprobs: [], nPredicted });
    const head = { index, stop: false, id_slot: 0, tokens_predicted: nPredicted, tokens_evaluated: this.#promptTokens };
    if (logprobs.length === 0) return [{ ...head, content: text, tokens }];
    return tokens.map((token, i) => ({
      ...head,
      content: i === tokens.length - 1 ? text : "",
      tokens: [token],
      completion_probabilities: logprobs.slice(i, i + 1).map((one) => this.#shown(one)),
    }));
  }

  #final(choice: AnsweredChoice, answer: Answer): LlamaObject {
    const { results } = answer;
    const { completion, index, prompt, text } = choice;
    const result = results[prompt] as GenerationResult;
    const { model, contextLength, asked } = this.#context;
    const nTokens = completion.tokens.length;
    return {
      ...{ index, id_slot: 0, stop: true, model, tokens_predicted: nTokens, tokens_evaluated: result.promptTokens },
      generation_settings: { ...this.#request.settings, n_ctx: contextLength, model },
      prompt: this.#context.detokenize(this.#context.prompts[prompt] ?? []),
      has_new_line: text.includes("\n"),
      truncated: choice.finishReason === "length" && nTokens < (this.#request.maxTokens ?? Number.POSITIVE_INFINITY),
      stop_type: stopType(choice),
      stopping_word: completion.stopString ?? "",
      tokens_cached: result.cachedTokens,
      timings: timingsOf(result, nTokens),
      idlm: extensionBody(asked, answer),
    };
  }

  /** The wanted keys of a body. */
  #selected(body: LlamaObject): LlamaObject {
    const { responseFields } = this.#request;
    if (responseFields.length === 0) return body;
    const valueAt = (path: string) =>
      path.split("/").reduce<unknown>((value, key) => (value as LlamaObject | undefined)?.[key], body);
    const entries = responseFields.map((path) => [path, valueAt(path)] as const);
    return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
  }

  #shown({ token, logprob, top }: TokenLogprobs) {
    return { ...this.#token(token, logprob), top_logprobs: top.map((one) => this.#token(one.token, one.logprob)) };
  }

  #token(id: number, logprob: number) {
    const bytes = this.#context.tokenizer?.tokenBytes(id) ?? new Uint8Array();
    // `stream` leaves out the beginning of a character that the token does not end. JSON has no infinity.
    const token = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes, { stream: true });
    return { id, token, bytes: [...bytes], logprob: Math.max(logprob, MIN_LOGPROB) };
  }
}

/** The least float32, which llama-server writes for a probability of 0. */
const MIN_LOGPROB = -3.4028234663852886e38;

function stopType({ finishReason, completion }: AnsweredChoice): string {
  if (finishReason === "cancelled") return "none";
  if (finishReason === "length") return "limit";
  return completion.stopString === undefined ? "eos" : "word";
}

function timingsOf({ promptTokens, cachedTokens, prefillMs, decodeMs }: GenerationResult, nTokens: number) {
  const rates = (name: string, n: number, ms: number) => ({
    ...{ [`${name}_n`]: n, [`${name}_ms`]: ms },
    ...{ [`${name}_per_token_ms`]: n === 0 ? 0 : ms / n, [`${name}_per_second`]: ms === 0 ? 0 : (1000 * n) / ms },
  });
  return {
    cache_n: cachedTokens,
    ...rates("prompt", promptTokens - cachedTokens, prefillMs),
    ...rates("predicted", nTokens, decodeMs),
  };
}
