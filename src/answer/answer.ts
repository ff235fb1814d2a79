import { createHash, randomUUID } from "node:crypto";
import type { Choice, Generation, GenerationPart, GenerationResult, Model } from "../engine/types.ts";
import { merge } from "./merge.ts";
import { messageOf, messageReader } from "./message-reader.ts";
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
  const { id = randomUUID().replaceAll("-", "") } = request;
  const reader = (choice: number) => messageReader(request.format, (index) => callId(id, choice, index));
  const generations = startAll(model, request, AbortSignal.any([signal, leaving.signal]), leaving);
  const done = Promise.all(generations.map(({ result }) => result)).then((results) =>
    answerOf(request, results, reader),
  );
  // One that fails ends the others. Without a reader of `done`, the reader of the events gets the error.
  done.catch(() => leaving.abort());
  return { events: eventsOf(request, generations, done, leaving, reader), done };
}

/** Makes the reader of a choice. */
type ReaderOf = (choice: number) => MessageReader;

/** The same in the stream and in the finished message. */
function callId(id: string, choice: number, index: number): string {
  return `call_${createHash("sha256").update(`${id} ${choice} ${index}`).digest("hex").slice(0, 24)}`;
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

async function* eventsOf(
  request: AnswerRequest,
  generations: readonly Generation[],
  done: Promise<Answer>,
  leaving: AbortController,
  reader: ReaderOf,
): AsyncGenerator<AnswerEvent> {
  const firstChoices = firstChoicesOf(request);
  const readers = new Map<number, ChoiceEvents>();
  const readerOf = (choice: number) => {
    const known = readers.get(choice) ?? new ChoiceEvents(reader(choice), choice);
    readers.set(choice, known);
    return known;
  };
  try {
    for await (const [prompt, part] of merge(generations)) {
      const choice = (firstChoices[prompt] as number) + (part.choice ?? 0);
      if (request.isEmpty !== true) yield* readerOf(choice).push(part);
    }
    const { choices } = await done;
    for (const choice of choices) yield* readerOf(choice.index).end(choice);
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

  push({ text, record, logprobs = [] }: GenerationPart): AnswerEvent[] {
    const choice = this.#choice;
    return [
      ...(record === undefined ? [] : [{ choice, kind: "round" as const, round: record }]),
      ...(logprobs.length === 0 ? [] : [{ choice, kind: "logprobs" as const, logprobs }]),
      ...this.#placed(this.#reader.push(text)),
    ];
  }

  end({ finishReason, completion }: AnsweredChoice): AnswerEvent[] {
    const { stopString: stop } = completion;
    return [...this.#placed(this.#reader.end()), { choice: this.#choice, kind: "end", finishReason, stop }];
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

function answerOf(request: AnswerRequest, generated: readonly GenerationResult[], reader: ReaderOf): Answer {
  const results = request.isEmpty === true ? generated.map(emptied) : generated;
  const completions = results.flatMap((result, prompt) =>
    allChoices(result).map((completion) => ({ prompt, completion })),
  );
  const choices = completions.map((choice, index) => ({
    ...{ index, ...choice },
    ...messageFrom(reader(index), choice.completion),
  }));
  return { results, choices };
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
