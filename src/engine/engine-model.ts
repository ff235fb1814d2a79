import type { Backend, BackendInfo } from "../compute/backend.ts";
import { PAGE_SIZE } from "../compute/forest/forest.ts";
import type { LoadedModel } from "../compute/loaded-model.ts";
import { Controller } from "../decoding/controller/controller.ts";
import type { DraftModel } from "../decoding/proposers/draft-model.ts";
import { IdlmError } from "../errors.ts";
import { type GrammarCompiler, Grammars } from "../grammar/grammars.ts";
import { KvSequence } from "./kv/kv-sequence.ts";
import { PagePool } from "./kv/page-pool.ts";
import { GenerationStream } from "./output/generation.ts";
import { choiceStreams } from "./request/choices.ts";
import {
  type CheckedOptions,
  type CheckedRequest,
  checkRequest,
  type RequestLimits,
  withPrompt,
} from "./request/request.ts";
import { runForest } from "./run-forest.ts";
import { BatchLoop } from "./scheduling/batch-loop.ts";
import type { DecodingParts } from "./scheduling/create-decoder.ts";
import { Mutex } from "./scheduling/mutex.ts";
import { Scheduler } from "./scheduling/scheduler.ts";
import { Sequence } from "./scheduling/sequence.ts";
import { score } from "./score.ts";
import type {
  ForestInput,
  ForwardOptions,
  ForwardOutput,
  GenerateRequest,
  Generation,
  Model,
  ModelInfo,
  ModelObserver,
  ModelStats,
  ScoredText,
  ScoreRequest,
  Session,
  TextTokenizer,
} from "./types.ts";

/** Dependencies of an EngineModel. */
export interface EngineParts {
  readonly model: LoadedModel;
  /** Draft model; owned, like `model`. */
  readonly draft?: DraftModel | undefined;
  readonly backend: BackendInfo;
  readonly info: ModelInfo;
  readonly tokenizer: TextTokenizer | undefined;
  readonly endTokens: ReadonlySet<number>;
  readonly limits: EngineLimits;
  /** The backend that loaded `model`, which may load another model that shares its weights. */
  readonly loadedBy?: Backend | undefined;
  readonly observer?: ModelObserver | undefined;
}

export interface EngineLimits {
  /** Pages of the KV cache: at least a context and the rows of a round. */
  readonly nPages: number;
  /** Most concurrent sequences. */
  readonly maxSequences: number;
  /** Most waiting sequences beside them. */
  readonly maxQueue: number;
}

/** A loaded model with its KV cache and scheduler. Takes ownership of its parts. */
export class EngineModel implements Model {
  readonly info: ModelInfo;
  readonly tokenizer: TextTokenizer | undefined;
  readonly #parts: EngineParts & DecodingParts;
  readonly #grammars: Grammars | undefined;
  readonly #mutex = new Mutex();
  /** One text at a time is scored, since each has a KV cache of its own. */
  readonly #scoring = new Mutex();
  readonly #closing = new AbortController();
  /** Created on first use. */
  #engine: { readonly pool: PagePool; readonly scheduler: Scheduler; readonly loop: BatchLoop } | undefined;
  #disposed: Promise<void> | undefined;
  /** Sequences whose chat template is being rendered, or grammar compiled. */
  #nPreparing = 0;

  constructor(parts: EngineParts) {
    const { sizes, mask } = parts.model.program;
    const controller = new Controller({ maskShare: 1 - (mask?.entryLayer ?? 0) / sizes.nLayers });
    this.#parts = { ...parts, draft: parts.draft, controller };
    this.info = parts.info;
    this.tokenizer = parts.tokenizer;
    this.#grammars = parts.tokenizer && grammarsOf(parts.tokenizer, sizes.vocabSize, parts.endTokens);
  }

  tokenize(text: string, options: { readonly special?: boolean } = {}): number[] {
    return this.#requireTokenizer().encode(text, options);
  }

  detokenize(ids: readonly number[]): string {
    return this.#requireTokenizer().decode(ids);
  }

  generate(request: GenerateRequest): Generation {
    return this.#submit(request, () => {});
  }

  async promptIds(request: GenerateRequest): Promise<readonly number[]> {
    this.#assertOpen();
    const limits = this.#limits();
    return (await withPrompt(checkRequest(request, limits), request, limits)).ids;
  }

  session(): Session {
    const { pool } = this.#open();
    let last: Sequence | undefined;
    let running: Promise<unknown> = Promise.resolve();
    let isDisposed = false;
    return {
      generate: (request) => {
        if (isDisposed) throw new TypeError("the session is disposed of");
        const generation = this.#submit(request, (sequence) => {
          last = sequence;
        });
        running = Promise.allSettled([running, generation.result]);
        return generation;
      },
      get cachedTokens() {
        return last === undefined ? 0 : Math.max(last.kv.length, pool.find(last.kv.root, last.tokens).nTokens);
      },
      dispose: async () => {
        isDisposed = true;
        await running;
        last = undefined;
      },
    };
  }

  score(request: ScoreRequest): Promise<ScoredText> {
    this.#assertOpen();
    const { model, tokenizer, info } = this.#parts;
    const run = <T>(forward: () => Promise<T>) =>
      this.#mutex.runExclusive(() => {
        this.#assertOpen();
        return forward();
      });
    return this.#scoring.runExclusive(async () => {
      this.#assertOpen();
      request.signal?.throwIfAborted();
      return score({ model, tokenizer, contextLength: info.contextLength, run }, request);
    });
  }

  stats(): ModelStats {
    this.#assertOpen();
    const { maxSequences, nPages } = this.#parts.limits;
    const { pool, scheduler } = this.#engine ?? {};
    const sequences = (scheduler?.sequences ?? []).map((sequence) => ({
      isRunning: scheduler?.isRunning(sequence) === true,
      promptTokens: sequence.request.ids.length,
      generatedTokens: sequence.nGenerated,
    }));
    const used = pool === undefined ? 0 : nPages - pool.nAvailable;
    return {
      ...{ sequences, maxSequences },
      cachePages: { total: nPages, used, size: PAGE_SIZE },
    };
  }

  /** What another model needs to share its weights. */
  get weights(): { readonly backend: Backend | undefined; readonly model: LoadedModel } {
    this.#assertOpen();
    return { backend: this.#parts.loadedBy, model: this.#parts.model };
  }

  /** Has grammars compiled by it from now on, outside of this thread. */
  compileGrammarsWith(compiler: GrammarCompiler): void {
    this.#grammars?.setCompiler(compiler);
  }

  forward(forest: ForestInput, options: ForwardOptions = {}): Promise<ForwardOutput> {
    this.#assertOpen();
    return this.#mutex.runExclusive(async () => {
      options.signal?.throwIfAborted();
      this.#assertOpen();
      return runForest(this.#parts.model, forest);
    });
  }

  dispose(): Promise<void> {
    this.#disposed ??= this.#close();
    return this.#disposed;
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    await this.#engine?.loop.idle();
    await this.#scoring.idle();
    await this.#mutex.idle();
    this.#engine?.pool.dispose();
    this.#engine = undefined;
    await this.#parts.draft?.dispose();
    this.#parts.model.dispose();
  }

  /** `onEnqueue` is called with the sequence of the first choice. */
  #submit(request: GenerateRequest, onEnqueue: (sequence: Sequence) => void): Generation {
    const { scheduler } = this.#open();
    const limits = this.#limits();
    const options = checkRequest(request, limits);
    const { n, signal } = options;
    const { maxSequences, maxQueue } = this.#parts.limits;
    if (scheduler.occupancy + this.#nPreparing + n > maxSequences + maxQueue) {
      throw new IdlmError("queue-full", { max: maxQueue });
    }
    const checked = withPrompt(options, request, limits);
    const stream = new GenerationStream([this.#closing.signal, ...(signal === undefined ? [] : [signal])]);
    stream.isScoring = options.promptLogprobs !== undefined;
    if (checked instanceof Promise) void this.#enqueueWhenRendered(options, checked, stream, onEnqueue);
    else onEnqueue(this.#enqueue(checked, stream));
    return stream;
  }

  /** While the template is rendered and the grammar compiled the request counts towards the limit of the queue. */
  async #enqueueWhenRendered(
    options: CheckedOptions,
    checked: Promise<CheckedRequest>,
    stream: GenerationStream,
    onEnqueue: (sequence: Sequence) => void,
  ): Promise<void> {
    const { pool } = this.#open();
    // Ends the stream at once; the template's result is ignored.
    const cancel = () => {
      for (const sequence of this.#createSequences({ ...options, grammar: undefined, ids: [] }, stream, pool)) {
        sequence.end("cancelled");
      }
    };
    if (stream.signal.aborted) cancel();
    stream.signal.addEventListener("abort", cancel, { once: true });
    this.#nPreparing += options.n;
    try {
      const known = await checked;
      stream.signal.removeEventListener("abort", cancel);
      if (!stream.isEnded) onEnqueue(this.#enqueue(known, stream));
    } catch (error) {
      stream.fail(error);
    } finally {
      this.#nPreparing -= options.n;
    }
  }

  #enqueue(checked: CheckedRequest, stream: GenerationStream): Sequence {
    const { pool, loop } = this.#open();
    stream.setPrompt(checked.ids);
    const sequences = this.#createSequences(checked, stream, pool);
    for (const sequence of sequences) loop.add(sequence);
    return sequences[0] as Sequence;
  }

  /** One for each choice. */
  #createSequences(checked: CheckedRequest, stream: GenerationStream, pool: PagePool): Sequence[] {
    const { n, settings, promptLogprobs } = checked;
    const streams = n === 1 ? [stream] : choiceStreams(stream, n);
    return streams.map((own, choice) => {
      const request = {
        ...{ ...checked, settings: { ...settings, choice } },
        promptLogprobs: choice === 0 ? promptLogprobs : undefined,
      };
      return new Sequence(this.#parts, request, new KvSequence(pool), own);
    });
  }

  #limits(): RequestLimits {
    const { model, draft, info, tokenizer, endTokens } = this.#parts;
    const { mask, heads, sizes } = model.program;
    return {
      ...{ vocabSize: sizes.vocabSize, context: info.contextLength, mask, adapterPath: info.adapter?.path, tokenizer },
      ...{ nExtraHeads: heads.extra.length, hasDraft: draft !== undefined, grammars: this.#grammars, endTokens },
    };
  }

  #open() {
    this.#assertOpen();
    if (this.#engine === undefined) {
      const { model, controller, limits } = this.#parts;
      const pool = new PagePool(model, limits.nPages);
      const scheduler = new Scheduler(pool, limits);
      this.#engine = {
        pool,
        scheduler,
        loop: new BatchLoop({ model, controller, pool, scheduler, mutex: this.#mutex, observer: this.#parts.observer }),
      };
    }
    return this.#engine;
  }

  #assertOpen(): void {
    if (this.#closing.signal.aborted) throw new TypeError("the model is disposed of");
  }

  #requireTokenizer(): TextTokenizer {
    if (this.tokenizer !== undefined) return this.tokenizer;
    throw new IdlmError("usage", { problem: `${this.info.path} has no tokenizer`, hint: "Use token ids." });
  }
}

/** Special tokens are not text: a grammar does not allow them. */
function grammarsOf(tokenizer: TextTokenizer, vocabSize: number, endTokens: ReadonlySet<number>): Grammars {
  const tokenBytes = (id: number) => (tokenizer.isSpecial(id) ? undefined : tokenizer.tokenBytes(id));
  return new Grammars({ vocabSize, tokenBytes, endTokens });
}
