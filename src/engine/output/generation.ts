import { setMaxListeners } from "node:events";
import type { Generation, GenerationPart, GenerationResult } from "../types.ts";

/**
 * Parts that a reader has not taken when its sequence is paused, and again at half of them when it goes on: enough that a
 * reader over a network never makes the engine wait, few enough that one that stopped reading costs no work.
 */
const MOST_UNREAD = 64;

/** Where a text that is written goes. It ends once. */
export interface WritingStream {
  /** Nobody wants more. */
  readonly signal: AbortSignal;
  /** Its reader has begun and does not keep up: more would only lie about. A result that is only awaited has no reader. */
  readonly isBehind: boolean;
  readonly isEnded: boolean;
  /** Called when a reader that was behind has caught up. */
  set onCaughtUp(listener: () => void);
  emit(part: GenerationPart): void;
  end(result: GenerationResult): void;
  fail(error: unknown): void;
}

/** A generation's stream of parts, between the engine that writes and whoever reads. */
export class GenerationStream implements Generation, WritingStream {
  readonly result: Promise<GenerationResult>;
  readonly signal: AbortSignal;
  onCaughtUp: () => void = () => {};
  readonly #controller = new AbortController();
  readonly #sources: readonly AbortSignal[];
  readonly #mostUnread: number;
  #parts: GenerationPart[] = [];
  #nTaken = 0;
  #isRead = false;
  #isBehind = false;
  #isEnded = false;
  #wake = () => {};
  #resolve: (result: GenerationResult) => void = () => {};
  #reject: (error: unknown) => void = () => {};

  constructor(signals: readonly AbortSignal[], mostUnread = MOST_UNREAD) {
    this.#mostUnread = mostUnread;
    this.signal = this.#controller.signal;
    this.#sources = signals;
    // One signal may end any number of generations, and this one's any number of answers.
    setMaxListeners(0, this.signal, ...signals);
    if (signals.some((signal) => signal.aborted)) this.cancel();
    for (const signal of signals) signal.addEventListener("abort", this.cancel, { once: true });
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Whoever reads only the parts gets the error from there.
    this.result.catch(() => {});
  }

  get isBehind(): boolean {
    return this.#isBehind;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Bound, as a listener of signals. */
  readonly cancel = (): void => this.#controller.abort();

  emit(part: GenerationPart): void {
    this.#parts.push(part);
    this.#isBehind ||= this.#isRead && this.#nUnread >= this.#mostUnread;
    this.#wake();
  }

  end(result: GenerationResult): void {
    // The first end counts, as of a promise.
    this.#resolve(result);
    this.#close();
  }

  fail(error: unknown): void {
    this.#reject(error);
    this.#close();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<GenerationPart, void, undefined> {
    if (this.#isRead) throw new TypeError("a generation can be iterated once");
    this.#isRead = true;
    try {
      while (true) {
        const part = this.#take();
        if (part !== undefined) yield part;
        else if (this.#isEnded) break;
        else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
      }
      await this.result;
    } finally {
      this.cancel();
    }
  }

  get #nUnread(): number {
    return this.#parts.length - this.#nTaken;
  }

  /** The next part. Taken ones are cut off by the half, so that a part costs constant time. */
  #take(): GenerationPart | undefined {
    const part = this.#parts[this.#nTaken];
    if (part === undefined) return undefined;
    this.#nTaken++;
    if (2 * this.#nTaken > this.#parts.length) {
      this.#parts = this.#parts.slice(this.#nTaken);
      this.#nTaken = 0;
    }
    if (this.#isBehind && 2 * this.#nUnread <= this.#mostUnread) {
      this.#isBehind = false;
      this.onCaughtUp();
    }
    return part;
  }

  #close(): void {
    this.#isEnded = true;
    this.#isBehind = false;
    for (const signal of this.#sources) signal.removeEventListener("abort", this.cancel);
    this.#wake();
  }
}
