import type { Generation, GenerationPart, GenerationResult } from "../engine/types.ts";
import { merge } from "./merge.ts";
import type { Messages } from "./messages.ts";
import type { Answer, AnsweredChoice, AnswerEvent, AnswerRequest, EchoedPrompt, MessageReader } from "./types.ts";

/** What the events are made of. */
export interface AnswerParts {
  readonly request: AnswerRequest;
  /** One per prompt. */
  readonly generations: readonly Generation[];
  readonly messages: Messages;
  readonly done: Promise<Answer>;
  /** Ends the generations. */
  readonly ending: AbortController;
}

type Step = IteratorResult<readonly AnswerEvent[], undefined>;

/**
 * Events of an answer, those of a part of a generation together. An iterator by hand: every token passes here, and the
 * promises of an async generator take more time than reading the part.
 */
export class AnswerEvents implements AsyncIterableIterator<readonly AnswerEvent[]> {
  readonly #parts: AnswerParts;
  readonly #firstChoices: readonly number[];
  readonly #writers = new Map<number, ChoiceEvents>();
  readonly #begun = new Set<number>();
  /** From the first call of `next`, since generations that are not read run to their end. */
  #source: AsyncIterator<GenerationPart> | AsyncIterator<readonly [number, GenerationPart]> | undefined;
  #isOver = false;

  constructor(parts: AnswerParts) {
    this.#parts = parts;
    this.#firstChoices = firstChoicesOf(parts.request);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Step> {
    if (this.#isOver) return Promise.resolve(over);
    this.#source ??= this.#start();
    return this.#source.next().then(this.#onStep, this.#onError);
  }

  async return(): Promise<Step> {
    this.#isOver = true;
    this.#parts.ending.abort();
    await this.#source?.return?.();
    return over;
  }

  #start() {
    const { generations } = this.#parts;
    const [only] = generations;
    return only !== undefined && generations.length === 1 ? only[Symbol.asyncIterator]() : merge(generations);
  }

  readonly #onStep = ({ value, done }: IteratorResult<GenerationPart | readonly [number, GenerationPart]>) => {
    if (done === true) return this.#end().catch(this.#onError);
    const [prompt, part] = isPair(value) ? value : [0, value];
    const choice = (this.#firstChoices[prompt] as number) + (part.choice ?? 0);
    const writer = this.#writers.get(choice);
    return writer === undefined
      ? this.#begin(prompt, choice, part).catch(this.#onError)
      : { value: writer.push(part), done: false as const };
  };

  readonly #onError = (error: unknown): never => {
    this.#isOver = true;
    this.#parts.ending.abort();
    throw error;
  };

  /** The first part of a choice. */
  async #begin(prompt: number, choice: number, part: GenerationPart): Promise<Step> {
    const { request, generations, messages } = this.#parts;
    const events: AnswerEvent[] = [];
    if (!this.#begun.has(prompt)) {
      const promptTokens = (await (generations[prompt] as Generation).promptIds).length;
      events.push({ kind: "start", choice, prompt, promptTokens, cachedTokens: part.cachedTokens ?? 0 });
      this.#begun.add(prompt);
    }
    if (request.isEmpty !== true) {
      events.push(...openingOf(choice, await messages.opening(prompt)));
      const writer = new ChoiceEvents(await messages.reader(prompt, choice), choice);
      this.#writers.set(choice, writer);
      events.push(...writer.push(part));
    }
    return { value: events, done: false };
  }

  /** What is left when the generations are over. */
  async #end(): Promise<Step> {
    const { messages, done } = this.#parts;
    const { choices, results } = await done;
    const events: AnswerEvent[] = [];
    for (const choice of choices) {
      const { prompt, index } = choice;
      if (!this.#begun.has(prompt)) {
        const { promptTokens, cachedTokens } = results[prompt] as GenerationResult;
        events.push({ kind: "start", choice: index, prompt, promptTokens, cachedTokens });
        this.#begun.add(prompt);
      }
      const known = this.#writers.get(index);
      if (known === undefined) events.push(...openingOf(index, await messages.opening(prompt)));
      events.push(...(known ?? new ChoiceEvents(await messages.reader(prompt, index), index)).end(choice));
    }
    this.#isOver = true;
    return { value: events, done: false };
  }
}

const over: Step = { value: undefined, done: true };

function isPair(value: GenerationPart | readonly [number, GenerationPart]): value is readonly [number, GenerationPart] {
  return Array.isArray(value);
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
    const events: AnswerEvent[] = [];
    if (record !== undefined) events.push({ choice, kind: "round", round: record });
    if (tokens.length > 0) events.push({ choice, kind: "tokens", tokens, ...(logprobs !== undefined && { logprobs }) });
    for (const delta of this.#reader.push(text)) events.push({ ...delta, choice });
    return events;
  }

  end({ finishReason, completion: { stopString, endToken, endLogprobs } }: AnsweredChoice): AnswerEvent[] {
    const end: AnswerEvent = {
      ...{ choice: this.#choice, kind: "end", finishReason },
      ...(stopString !== undefined && { stop: stopString }),
      ...(endToken !== undefined && { endToken }),
      ...(endLogprobs !== undefined && { endLogprobs }),
    };
    return [...this.#reader.end().map((delta) => ({ ...delta, choice: this.#choice })), end];
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
