import { setMaxListeners } from "node:events";
import type { Generation, GenerationPart, GenerationResult, ScoredToken } from "../types.ts";

/**
 * Unread parts at which a sequence is paused; it continues at half of them. Enough that network latency does not stall
 * the engine, few enough that a stalled reader costs little.
 */
const MOST_UNREAD = 64;

type Step = IteratorResult<GenerationPart, undefined>;

/** Output of a sequence. It ends once. */
export interface SequenceStream {
  /** Aborted when the generation is cancelled. */
  readonly signal: AbortSignal;
  /** The reader lags: the sequence pauses until `onDrain`. If only the result is awaited there is no reader to lag. */
  readonly needsDrain: boolean;
  readonly isEnded: boolean;
  /** Called when a lagging reader has caught up. */
  set onDrain(listener: () => void);
  /** Before its first part, if requested. */
  setPromptLogprobs(tokens: readonly ScoredToken[]): void;
  emit(part: GenerationPart): void;
  end(result: GenerationResult): void;
  fail(error: unknown): void;
}

/**
 * The parts of a generation, between the engine and the reader. A reader that waits gets them in the next turn of the event
 * loop: what it does with them then takes no time of the engine, which starts the next forward in this turn.
 */
export class GenerationStream implements Generation, SequenceStream {
  readonly result: Promise<GenerationResult>;
  readonly promptIds: Promise<readonly number[]>;
  readonly promptLogprobs: Promise<readonly ScoredToken[]>;
  readonly signal: AbortSignal;
  onDrain: () => void = () => {};
  /**
   * Whether log-probabilities of the prompt are to come: a reader may wait for them, so it does not lag. Parts of other
   * choices, whose prompt was cached, may come before.
   */
  isScoring = false;
  readonly #controller = new AbortController();
  readonly #sources: readonly AbortSignal[];
  readonly #mostUnread: number;
  #parts: GenerationPart[] = [];
  #nTaken = 0;
  #isRead = false;
  #needsDrain = false;
  #isEnded = false;
  /** Calls of `next` that wait for a part, or for the end (undefined); then no part is unread. */
  readonly #waiting: ((step: Step | undefined) => void)[] = [];
  #resolve: (result: GenerationResult) => void = () => {};
  #reject: (error: unknown) => void = () => {};
  readonly #resolvePrompt: (ids: readonly number[]) => void;
  readonly #resolvePromptLogprobs: (tokens: readonly ScoredToken[]) => void;

  constructor(signals: readonly AbortSignal[], mostUnread = MOST_UNREAD) {
    this.#mostUnread = mostUnread;
    this.signal = this.#controller.signal;
    this.#sources = signals;
    // One signal may end many generations, and one generation has many choices.
    setMaxListeners(0, this.signal, ...signals);
    if (signals.some((signal) => signal.aborted)) this.cancel();
    for (const signal of signals) signal.addEventListener("abort", this.cancel, { once: true });
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    [this.promptIds, this.#resolvePrompt] = listBefore<number>(this.result);
    [this.promptLogprobs, this.#resolvePromptLogprobs] = listBefore<ScoredToken>(this.result);
    // A reader of the parts gets the error there.
    this.result.catch(() => {});
  }

  get needsDrain(): boolean {
    return this.#needsDrain;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** An arrow function, since it is a listener of signals. */
  readonly cancel = (): void => this.#controller.abort();

  /** Before the first part. */
  setPrompt(ids: readonly number[]): void {
    this.#resolvePrompt(ids);
  }

  setPromptLogprobs(tokens: readonly ScoredToken[]): void {
    this.isScoring = false;
    this.#resolvePromptLogprobs(tokens);
  }

  emit(part: GenerationPart): void {
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) {
      setImmediate(waiting, { value: part, done: false });
      return;
    }
    this.#parts.push(part);
    this.#needsDrain ||= this.#isRead && !this.isScoring && this.#nUnread >= this.#mostUnread;
  }

  end(result: GenerationResult): void {
    // Later calls have no effect, as with promises.
    setImmediate(this.#resolve, result);
    this.#close();
  }

  fail(error: unknown): void {
    setImmediate(this.#reject, error);
    this.#close();
  }

  /** By hand: the promises of an async generator take more time than all else that happens to a part. */
  [Symbol.asyncIterator](): AsyncIterableIterator<GenerationPart> {
    if (this.#isRead) throw new TypeError("a generation can be iterated once");
    this.#isRead = true;
    let isOver = false;
    const over: Step = { value: undefined, done: true };
    const end = async (): Promise<Step> => {
      if (isOver) return over;
      isOver = true;
      await this.result;
      return over;
    };
    const iterator: AsyncIterableIterator<GenerationPart> = {
      [Symbol.asyncIterator]: () => iterator,
      next: () => {
        const value = isOver ? undefined : this.#take();
        if (value !== undefined) return Promise.resolve({ value, done: false });
        if (isOver || this.#isEnded) return end();
        return new Promise((resolve) => {
          this.#waiting.push((step) => resolve(step === undefined ? end() : step));
        });
      },
      return: () => {
        isOver = true;
        this.cancel();
        return Promise.resolve(over);
      },
    };
    return iterator;
  }

  get #nUnread(): number {
    return this.#parts.length - this.#nTaken;
  }

  /** The next part. Removes read parts when they are half of the array: amortised constant time. */
  #take(): GenerationPart | undefined {
    const part = this.#parts[this.#nTaken];
    if (part === undefined) return undefined;
    this.#nTaken++;
    if (2 * this.#nTaken > this.#parts.length) {
      this.#parts = this.#parts.slice(this.#nTaken);
      this.#nTaken = 0;
    }
    if (this.#needsDrain && 2 * this.#nUnread <= this.#mostUnread) {
      this.#needsDrain = false;
      this.onDrain();
    }
    return part;
  }

  #close(): void {
    this.#isEnded = true;
    this.#needsDrain = false;
    for (const signal of this.#sources) signal.removeEventListener("abort", this.cancel);
    for (const waiting of this.#waiting.splice(0)) waiting(undefined);
  }
}

/** A list that comes before a result, empty if it does not come, and the function that resolves it. Rejects as the result does. */
function listBefore<T>(result: Promise<unknown>): [Promise<readonly T[]>, (list: readonly T[]) => void] {
  let resolveList: (list: readonly T[]) => void = () => {};
  const list = new Promise<readonly T[]>((resolve, reject) => {
    resolveList = resolve;
    result.then(() => resolve([]), reject);
  });
  list.catch(() => {});
  return [list, resolveList];
}
