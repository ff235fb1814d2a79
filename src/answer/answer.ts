import { setMaxListeners } from "node:events";
import type { Generation, GenerationPart, GenerationResult, Model } from "../engine/types.ts";
import { merge } from "./merge.ts";
import { Messages } from "./messages.ts";
import { withCalls } from "./tool-grammar.ts";
import type {
  Answer,
  AnsweredChoice,
  AnswerEvent,
  AnswerRequest,
  EchoedPrompt,
  MessageDelta,
  MessageReader,
  RunningAnswer,
} from "./types.ts";

/**
 * Runs a request of an API. When `signal` is aborted the output so far is kept, with the finish reason "cancelled".
 * @throws what `Model.generate` throws; then no generation runs.
 */
export function answer(model: Model, request: AnswerRequest, signal: AbortSignal): RunningAnswer {
  const ending = new AbortController();
  const end = () => ending.abort();
  // AbortSignal.any would leave something on `signal` for each answer, and a batch has one signal for all of them.
  setMaxListeners(0, signal);
  if (signal.aborted) end();
  else signal.addEventListener("abort", end, { once: true });
  const generations = startAll(model, request, ending, () => signal.removeEventListener("abort", end));
  const messages = new Messages(model, request, generations, ending.signal);
  const done = Promise.all(generations.map(({ result }) => result))
    .then((results) => messages.answer(results))
    .finally(() => signal.removeEventListener("abort", end));
  // One that fails ends the others. Without a reader of `done`, the reader of the events gets the error.
  done.catch(end);
  return { events: eventsOf(request, generations, messages, done, ending), done };
}

function startAll(
  model: Model,
  { requests, format }: AnswerRequest,
  ending: AbortController,
  onFailure: () => void,
): readonly Generation[] {
  try {
    return requests.map((request) => {
      const grammar = withCalls(request.grammar, format, model.tokenizer?.toolFormat);
      return model.generate({ ...request, signal: ending.signal, ...(grammar !== undefined && { grammar }) });
    });
  } catch (error) {
    ending.abort();
    onFailure();
    throw error;
  }
}

async function* eventsOf(
  request: AnswerRequest,
  generations: readonly Generation[],
  messages: Messages,
  done: Promise<Answer>,
  ending: AbortController,
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
      const known = writers.get(choice);
      if (known === undefined) yield* openingOf(choice, await messages.opening(prompt));
      const writer = known ?? new ChoiceEvents(await messages.reader(prompt, choice), choice);
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
      const known = writers.get(index);
      if (known === undefined) yield* openingOf(index, await messages.opening(prompt));
      yield* (known ?? new ChoiceEvents(await messages.reader(prompt, index), index)).end(choice);
    }
  } finally {
    ending.abort();
  }
}

function openingOf(choice: number, prompts: readonly EchoedPrompt[]): AnswerEvent[] {
  return prompts.map((prompt) => ({ choice, kind: "prompt", ...prompt }));
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

  end({ finishReason, completion: { stopString, endToken, endLogprobs } }: AnsweredChoice): AnswerEvent[] {
    const end: AnswerEvent = {
      ...{ choice: this.#choice, kind: "end", finishReason },
      ...(stopString !== undefined && { stop: stopString }),
      ...(endToken !== undefined && { endToken }),
      ...(endLogprobs !== undefined && { endLogprobs }),
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
