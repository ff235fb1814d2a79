import type { GenerationStream, WritingStream } from "../output/generation.ts";
import type { Choice, GenerationPart, GenerationResult } from "../types.ts";

/**
 * Streams of the answers to one request, which go into one stream: parts with their answer's index, and at the end the
 * first answer's result with all of them. Where one fails, the whole request does.
 */
export function choiceStreams(group: GenerationStream, n: number): WritingStream[] {
  const results: GenerationResult[] = [];
  let nOpen = n;
  return Array.from({ length: n }, (_, index) => {
    const end = (result: GenerationResult) => {
      results[index] = result;
      if (--nOpen === 0) group.end({ ...(results[0] as GenerationResult), choices: results.map(choiceOf) });
    };
    return new ChoiceStream(group, index, end);
  });
}

class ChoiceStream implements WritingStream {
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

  get isBehind(): boolean {
    return !this.isEnded && this.#group.isBehind;
  }

  set onCaughtUp(listener: () => void) {
    this.#group.onCaughtUp = listener;
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

function choiceOf(result: GenerationResult, index: number): Choice {
  const { text, tokens, sha256, finishReason, forwards, tokensPerForward, logprobs } = result;
  const written = { index, text, tokens, sha256, finishReason, forwards, tokensPerForward };
  return logprobs === undefined ? written : { ...written, logprobs };
}
