import { createHash, randomUUID } from "node:crypto";
import type { Choice, Generation, GenerationPart, GenerationResult, Model } from "../engine/types.ts";
import { merge } from "./merge.ts";
import { messageOf, messageReader } from "./message-reader.ts";
import { beginsInReasoning } from "./reasoning.ts";
import type {
  Answer,
  AnsweredChoice,
  AnswerEvent,
  AnswerFinishReason,
  AnswerRequest,
  MessageDelta,
  MessageReader,
  RunningAnswer,
} from "./types.ts";

/**
 * Runs a request of an API. When `signal` is aborted the output so far is kept, with the finish reason "cancelled".
 * @throws what `Model.generate` throws; then no generation runs.
 */
export function answer(model: Model, request: AnswerRequest, signal: AbortSignal): RunningAnswer {
  const leaving = new AbortController();
  const generations = startAll(model, request, AbortSignal.any([signal, leaving.signal]), leaving);
  const messages = new Messages(model, request, generations);
  const done = Promise.all(generations.map(({ result }) => result)).then((results) => messages.answer(results));
  // One that fails ends the others. Without a reader of `done`, the reader of the events gets the error.
  done.catch(() => leaving.abort());
  return { events: eventsOf(request, generations, messages, done, leaving), done };
}

function startAll(
  model: Model,
  { requests }: AnswerRequest,
  signal: AbortSignal,
  leaving: AbortController,
): readonly Generation[] {
  try {
    return requests.map((request) => model.generate({ ...request, signal }));
  } catch (error) {
    leaving.abort();
    throw error;
  }
}

/** All completions of a result. */
export function allChoices(result: GenerationResult): readonly Omit<Choice, "index">[] {
  return result.choices ?? [result];
}

/** Reads the messages of an answer: the same ones in its stream and in its finished form. */
class Messages {
  readonly #request: AnswerRequest;
  readonly #id: string;
  readonly #opensReasoning: Promise<readonly boolean[]>;

  constructor({ tokenizer }: Model, request: AnswerRequest, generations: readonly Generation[]) {
    this.#request = request;
    this.#id = request.id ?? randomUUID();
    const opens = generations.map(async ({ promptIds }) => {
      return request.format?.reasoning === true && beginsInReasoning(tokenizer, await promptIds);
    });
    this.#opensReasoning = Promise.all(opens);
    // The results reject with the same error.
    this.#opensReasoning.catch(() => {});
  }

  async reader(prompt: number, choice: number): Promise<MessageReader> {
    const opensReasoning = (await this.#opensReasoning)[prompt] === true;
    return messageReader(this.#request.format, { opensReasoning, callId: (index) => this.#callId(choice, index) });
  }

  async answer(generated: readonly GenerationResult[]): Promise<Answer> {
    const results = this.#request.isEmpty === true ? generated.map(emptied) : generated;
    const completions = results.flatMap((result, prompt) =>
      allChoices(result).map((completion) => ({ prompt, completion })),
    );
    const choices = completions.map(async ({ prompt, completion }, index) => {
      return { index, prompt, completion, ...messageFrom(await this.reader(prompt, index), completion) };
    });
    return { results, choices: await Promise.all(choices) };
  }

  #callId(choice: number, index: number): string {
    return `call_${createHash("sha256").update(`${this.#id} ${choice} ${index}`).digest("hex").slice(0, 24)}`;
  }
}

async function* eventsOf(
  request: AnswerRequest,
  generations: readonly Generation[],
  messages: Messages,
  done: Promise<Answer>,
  leaving: AbortController,
): AsyncGenerator<AnswerEvent> {
  const firstChoices = firstChoicesOf(request);
  const writers = new Map<number, ChoiceEvents>();
  const begun = new Set<number>();
  try {
    for await (const [prompt, part] of merge(generations)) {
      const choice = (firstChoices[prompt] as number) + (part.choice ?? 0);
      if (!begun.has(prompt)) {
        const promptTokens = (await (generations[prompt] as Generation).promptIds).length;
        yield { kind: "start", choice, prompt, promptTokens, cachedTokens: part.cachedTokens ?? 0 };
        begun.add(prompt);
      }
      if (request.isEmpty === true) continue;
      const writer = writers.get(choice) ?? new ChoiceEvents(await messages.reader(prompt, choice), choice);
      writers.set(choice, writer);
      yield* writer.push(part);
    }
    const { choices, results } = await done;
    for (const choice of choices) {
      const { prompt, index } = choice;
      if (!begun.has(prompt)) {
        const { promptTokens, cachedTokens } = results[prompt] as GenerationResult;
        yield { kind: "start", choice: index, prompt, promptTokens, cachedTokens };
        begun.add(prompt);
      }
      yield* (writers.get(index) ?? new ChoiceEvents(await messages.reader(prompt, index), index)).end(choice);
    }
  } finally {
    leaving.abort();
  }
}

/** Events of one completion. */
class ChoiceEvents {
  readonly #reader: MessageReader;
  readonly #choice: number;

  constructor(reader: MessageReader, choice: number) {
    this.#reader = reader;
    this.#choice = choice;
  }

  push({ text, tokens, record, logprobs }: GenerationPart): AnswerEvent[] {
    const choice = this.#choice;
    const events: AnswerEvent[] = record === undefined ? [] : [{ choice, kind: "round", round: record }];
    if (tokens.length > 0) events.push({ choice, kind: "tokens", tokens, ...(logprobs !== undefined && { logprobs }) });
    return [...events, ...this.#placed(this.#reader.push(text))];
  }

  end({ finishReason, completion: { stopString, endToken } }: AnsweredChoice): AnswerEvent[] {
    const end: AnswerEvent = {
      ...{ choice: this.#choice, kind: "end", finishReason },
      ...(stopString !== undefined && { stop: stopString }),
      ...(endToken !== undefined && { endToken }),
    };
    return [...this.#placed(this.#reader.end()), end];
  }

  #placed(deltas: readonly MessageDelta[]): AnswerEvent[] {
    return deltas.map((delta) => ({ ...delta, choice: this.#choice }));
  }
}

/** Index of the first choice of each prompt. */
function firstChoicesOf({ requests }: AnswerRequest): readonly number[] {
  let next = 0;
  return requests.map(({ n = 1 }) => {
    const first = next;
    next += n;
    return first;
  });
}

function messageFrom(reader: MessageReader, { text, finishReason }: Omit<Choice, "index">) {
  const message = messageOf([...reader.push(text), ...reader.end()]);
  const isCall = message.toolCalls.length > 0 && finishReason === "stop";
  const reason: AnswerFinishReason = isCall ? "tool_calls" : finishReason;
  return { ...message, finishReason: reason };
}

function emptied(result: GenerationResult): GenerationResult {
  const empty = <One extends Omit<Choice, "index">>({ endToken: _, stopString: __, ...one }: One) => ({
    ...one,
    ...{ text: "", tokens: [], finishReason: "length" as const },
    ...(one.logprobs !== undefined && { logprobs: [] }),
  });
  return { ...empty(result), ...(result.choices !== undefined && { choices: result.choices.map(empty) }) };
}
