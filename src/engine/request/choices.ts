import type { GenerationStream, SequenceStream } from "../output/generation.ts";
import type { Choice, GenerationPart, GenerationResult, ScoredToken } from "../types.ts";

/**
 * Streams of the completions of one request, merged into one: each part has the index of its completion, and the result
 * is that of the first completion with all of them as `choices`. If one fails, the request fails.
 */
export function choiceStreams(group: GenerationStream, n: number): SequenceStream[] {
  const results: GenerationResult[] = [];
  let nOpen = n;
  return Array.from({ length: n }, (_, index) => {
    const end = (result: GenerationResult) => {
      results[index] = result;
      if (--nOpen > 0) return;
      const prediction = allPredictions(results);
      group.end({
        ...(results[0] as GenerationResult),
        ...(prediction !== undefined && { prediction }),
        choices: results.map(choiceOf),
      });
    };
    return new ChoiceStream(group, index, end);
  });
}

class ChoiceStream implements SequenceStream {
  isEnded = false;
  readonly #group: GenerationStream;
  readonly #index: number;
  readonly #end: (result: GenerationResult) => void;

  constructor(group: GenerationStream, index: number, end: (result: GenerationResult) => void) {
    this.#group = group;
    this.#index = index;
    this.#end = end;
  }

  get signal(): AbortSignal {
    return this.#group.signal;
  }

  get needsDrain(): boolean {
    return !this.isEnded && this.#group.needsDrain;
  }

  set onDrain(listener: () => void) {
    this.#group.onDrain = listener;
  }

  setPromptLogprobs(tokens: readonly ScoredToken[]): void {
    this.#group.setPromptLogprobs(tokens);
  }

  emit(part: GenerationPart): void {
    this.#group.emit({ ...part, choice: this.#index });
  }

  end(result: GenerationResult): void {
    this.isEnded = true;
    this.#end(result);
  }

  fail(error: unknown): void {
    this.isEnded = true;
    this.#group.fail(error);
    this.#group.cancel();
  }
}

/** Predicted tokens of all completions; undefined: no predicted output. */
function allPredictions(results: readonly GenerationResult[]): GenerationResult["prediction"] {
  const all = results.flatMap(({ prediction }) => (prediction === undefined ? [] : [prediction]));
  if (all.length === 0) return undefined;
  const sum = (of: (one: (typeof all)[number]) => number) => all.reduce((total, one) => total + of(one), 0);
  return { accepted: sum(({ accepted }) => accepted), rejected: sum(({ rejected }) => rejected) };
}

function choiceOf(result: GenerationResult, index: number): Choice {
  const {
    text,
    tokens,
    sha256,
    finishReason,
    endToken,
    endLogprobs,
    stopString,
    forwards,
    tokensPerForward,
    logprobs,
  } = result;
  return {
    ...{ index, text, tokens, sha256, finishReason, forwards, tokensPerForward },
    ...(endToken !== undefined && { endToken }),
    ...(endLogprobs !== undefined && { endLogprobs }),
    ...(stopString !== undefined && { stopString }),
    ...(logprobs !== undefined && { logprobs }),
  };
}
