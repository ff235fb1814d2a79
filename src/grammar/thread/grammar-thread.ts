import { existsSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { IdlmError } from "../../errors.ts";
import type { Program } from "../automaton/program.ts";
import { GRAMMAR_PATH, type GrammarCompiler } from "../grammars.ts";
import { grammarProblem } from "../problem.ts";
import type { TokenTexts, TokenTree } from "../vocabulary.ts";
import type { GrammarJob, GrammarReply } from "./messages.ts";

/** Most time to compile a grammar. The limits on its size allow about .2 s of CPU time; the machine may be busy. */
const LIMIT_MS = 5_000;
/** Far above what a grammar within the limits takes. */
const MAX_HEAP_MB = 512;

interface Job {
  readonly message: GrammarJob;
  readonly resolve: (value: Program | TokenTree) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Compiles grammars in a thread of its own, which is started for the first one. A thread that takes too long for a grammar or
 * fails is replaced; only the request with that grammar fails.
 */
export class GrammarThread implements GrammarCompiler {
  readonly #file: string;
  readonly #limitMs: number;
  readonly #waiting: Job[] = [];
  #worker: Worker | undefined;
  #isReady = false;
  #running: Job | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** `file`: the built worker.ts. */
  constructor(file: string, limitMs = LIMIT_MS) {
    this.#file = file;
    this.#limitMs = limitMs;
  }

  compile(json: string): Promise<Program> {
    return this.#answer({ kind: "grammar", json }) as Promise<Program>;
  }

  treeOf(texts: TokenTexts): Promise<TokenTree> {
    return this.#answer({ kind: "vocabulary", texts }) as Promise<TokenTree>;
  }

  /** Whether the thread was started. */
  get isRunning(): boolean {
    return this.#worker !== undefined;
  }

  /** Ends the thread; what is not compiled by then fails. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const jobs = [this.#running, ...this.#waiting.splice(0)];
    const worker = this.#forget();
    for (const job of jobs) job?.reject(new IdlmError("stopping"));
    await worker?.terminate();
  }

  #answer(message: GrammarJob): Promise<Program | TokenTree> {
    if (this.#isClosed) return Promise.reject(new IdlmError("stopping"));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ message, resolve, reject });
      this.#next();
    });
  }

  #next(): void {
    if (this.#running !== undefined || this.#waiting.length === 0) return;
    this.#worker ??= this.#start();
    if (!this.#isReady) return;
    const job = this.#waiting.shift() as Job;
    this.#running = job;
    // The bytes of the vocabulary are its own, and always take about as long.
    if (job.message.kind === "grammar") {
      this.#timer = setTimeout(() => {
        this.#replace(`compiling it takes longer than ${this.#limitMs / 1000} s`);
      }, this.#limitMs);
    }
    this.#worker.postMessage(job.message);
  }

  #start(): Worker {
    const worker = new Worker(this.#file, { resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB } });
    // The server keeps the process alive.
    worker.unref();
    worker.on("message", (message: GrammarReply | "ready") => {
      if (worker !== this.#worker) return;
      if (message === "ready") this.#isReady = true;
      else this.#finish(message);
      this.#next();
    });
    const onEnd = (reason: string) => {
      if (worker !== this.#worker) return;
      if (this.#isReady) this.#replace(`compiling it failed (${reason})`);
      else this.#failAll(reason);
    };
    worker.on("error", (error) => onEnd(error.message));
    worker.on("exit", (status) => onEnd(`the thread ended with status ${status}`));
    return worker;
  }

  #finish(reply: GrammarReply): void {
    clearTimeout(this.#timer);
    const job = this.#running;
    this.#running = undefined;
    if ("value" in reply) job?.resolve(reply.value);
    else job?.reject(IdlmError.from(reply.error));
  }

  /** The running job fails, with all that the thread knows; the waiting ones get a new thread. */
  #replace(problem: string): void {
    const job = this.#running;
    void this.#forget()?.terminate();
    job?.reject(grammarProblem(GRAMMAR_PATH, problem, "Make it smaller."));
    this.#next();
  }

  /** The thread cannot be started. The next grammar tries again. */
  #failAll(reason: string): void {
    this.#forget();
    const error = existsSync(this.#file)
      ? new IdlmError("file-unreadable", { path: this.#file, reason })
      : new IdlmError("file-missing", { path: this.#file, hint: "Install idlm again: it compiles grammars." });
    for (const job of this.#waiting.splice(0)) job.reject(error);
  }

  #forget(): Worker | undefined {
    clearTimeout(this.#timer);
    const worker = this.#worker;
    this.#worker = undefined;
    this.#isReady = false;
    this.#running = undefined;
    return worker;
  }
}
