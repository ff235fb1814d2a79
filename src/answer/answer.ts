import { setMaxListeners } from "node:events";
import type { Generation, Model } from "../engine/types.ts";
import { AnswerEvents } from "./answer-events.ts";
import { Messages } from "./messages.ts";
import { withCalls } from "./tool-grammar.ts";
import type { AnswerRequest, RunningAnswer } from "./types.ts";

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
  const messages = new Messages(model, request, generations);
  const done = Promise.all(generations.map(({ result }) => result))
    .then((results) => messages.answer(results))
    .finally(() => signal.removeEventListener("abort", end));
  // One that fails ends the others. Without a reader of `done`, the reader of the events gets the error.
  done.catch(end);
  return { events: new AnswerEvents({ request, generations, messages, done, ending }), done };
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
