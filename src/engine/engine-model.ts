import type { BackendInfo } from "../compute/backend.ts";
import type { LoadedModel } from "../compute/loaded-model.ts";
import { Controller } from "../decoding/controller/controller.ts";
import type { DraftModel } from "../decoding/proposers/draft-model.ts";
import { IdlmError } from "../errors.ts";
import { BatchLoop } from "./scheduling/batch-loop.ts";
import { choiceStreams } from "./request/choices.ts";
import type { DecodingParts } from "./scheduling/create-decoder.ts";
import { GenerationStream } from "./output/generation.ts";
import { KvSequence } from "./kv/kv-sequence.ts";
import { PagePool } from "./kv/page-pool.ts";
import { Queue } from "./scheduling/queue.ts";
import {
  type AskedRequest,
  type CheckedRequest,
  checkRequest,
  type RequestLimits,
  withPrompt,
} from "./request/request.ts";
import { runForest } from "./run-forest.ts";
import { Scheduler } from "./scheduling/scheduler.ts";
import { score } from "./score.ts";
import type {
  ForestInput,
  ForwardOptions,
  ForwardOutput,
  GenerateRequest,
  Generation,
  Model,
  ModelInfo,
  ScoredText,
  ScoreRequest,
  Session,
  TextTokenizer,
} from "./types.ts";
import { Writing } from "./scheduling/writing.ts";

/** What an engine model is made of. */
export interface EngineParts {
  readonly model: LoadedModel;
  /** A second model that drafts; owned, too. */
  readonly draft?: DraftModel | undefined;
  readonly backend: BackendInfo;
  readonly info: ModelInfo;
  readonly tokenizer: TextTokenizer | undefined;
  readonly endTokens: ReadonlySet<number>;
  readonly limits: EngineLimits;
}

/** How much an engine takes on. */
export interface EngineLimits {
  /** Pages of the KV cache: at least a context and the rows of a round. */
  readonly nPages: number;
  /** Texts that are written at once. */
  readonly maxSequences: number;
  /** Requests that wait beside them, whether they have begun or not. */
  readonly maxQueue: number;
}

/** A loaded model with its KV cache. Takes ownership of the parts. */
export class EngineModel implements Model {
  readonly info: ModelInfo;
  readonly tokenizer: TextTokenizer | undefined;
  readonly #parts: EngineParts & DecodingParts;
  readonly #queue = new Queue();
  readonly #closing = new AbortController();
  /** Made when first needed. */
  #engine: { readonly pool: PagePool; readonly scheduler: Scheduler; readonly loop: BatchLoop } | undefined;
  #disposed: Promise<void> | undefined;
  /** Answers to requests whose template is being rendered. */
  #nPreparing = 0;

  constructor(parts: EngineParts) {
    const { sizes, mask } = parts.model.program;
    const controller = new Controller({ maskShare: 1 - (mask?.entryLayer ?? 0) / sizes.nLayers });
    this.#parts = { ...parts, draft: parts.draft, controller };
    this.info = parts.info;
    this.tokenizer = parts.tokenizer;
  }

  tokenize(text: string, options: { readonly special?: boolean } = {}): number[] {
    return this.#needTokenizer().encode(text, options);
  }

  detokenize(ids: readonly number[]): string {
    return this.#needTokenizer().decode(ids);
  }

  generate(request: GenerateRequest): Generation {
    return this.#start(request, () => {});
  }

  session(): Session {
    const { pool } = this.#open();
    let last: Writing | undefined;
    let running: Promise<unknown> = Promise.resolve();
    let isDisposed = false;
    return {
      generate: (request) => {
        if (isDisposed) throw new TypeError("the session is disposed of");
        const generation = this.#start(request, (writing) => {
          last = writing;
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
      this.#queue.run(() => {
        this.#assertOpen();
        return forward();
      });
    return score({ model, tokenizer, contextLength: info.contextLength, run }, request);
  }

  forward(forest: ForestInput, options: ForwardOptions = {}): Promise<ForwardOutput> {
    this.#assertOpen();
    return this.#queue.run(async () => {
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
    await this.#queue.idle();
    this.#engine?.pool.dispose();
    this.#engine = undefined;
    await this.#parts.draft?.dispose();
    this.#parts.model.dispose();
  }

  /** `onBegun` gets the writing of the first answer. */
  #start(request: GenerateRequest, onBegun: (writing: Writing) => void): Generation {
    const { scheduler } = this.#open();
    const limits = this.#limits();
    const asked = checkRequest(request, limits);
    const { n, signal } = asked;
    const { maxSequences, maxQueue } = this.#parts.limits;
    if (scheduler.nCounted + this.#nPreparing + n > maxSequences + maxQueue) {
      throw new IdlmError("queue-full", { most: maxQueue });
    }
    const checked = withPrompt(asked, request, limits);
    const stream = new GenerationStream([this.#closing.signal, ...(signal === undefined ? [] : [signal])]);
    if (checked instanceof Promise) void this.#beginWhenKnown(asked, checked, stream, onBegun);
    else onBegun(this.#begin(checked, stream));
    return stream;
  }

  /** Others may come and go while the request's template is rendered; it has its places in the queue. */
  async #beginWhenKnown(
    asked: AskedRequest,
    checked: Promise<CheckedRequest>,
    stream: GenerationStream,
    onBegun: (writing: Writing) => void,
  ): Promise<void> {
    const { pool } = this.#open();
    // Nobody waits for a template that nobody wants.
    const cancel = () => {
      for (const writing of this.#writings({ ...asked, ids: [] }, stream, pool)) writing.end("cancelled");
    };
    if (stream.signal.aborted) cancel();
    stream.signal.addEventListener("abort", cancel, { once: true });
    this.#nPreparing += asked.n;
    try {
      const known = await checked;
      stream.signal.removeEventListener("abort", cancel);
      if (!stream.isEnded) onBegun(this.#begin(known, stream));
    } catch (error) {
      stream.fail(error);
    } finally {
      this.#nPreparing -= asked.n;
    }
  }

  #begin(checked: CheckedRequest, stream: GenerationStream): Writing {
    const { pool, loop } = this.#open();
    const writings = this.#writings(checked, stream, pool);
    for (const writing of writings) loop.add(writing);
    return writings[0] as Writing;
  }

  /** One for each answer. */
  #writings(checked: CheckedRequest, stream: GenerationStream, pool: PagePool): Writing[] {
    const { n, settings } = checked;
    const streams = n === 1 ? [stream] : choiceStreams(stream, n);
    return streams.map((own, choice) => {
      return new Writing(this.#parts, { ...checked, settings: { ...settings, choice } }, new KvSequence(pool), own);
    });
  }

  #limits(): RequestLimits {
    const { model, draft, info, tokenizer } = this.#parts;
    const { mask, heads, sizes } = model.program;
    return {
      ...{ vocabSize: sizes.vocabSize, context: info.contextLength, mask, adapterPath: info.adapter?.path, tokenizer },
      ...{ nExtraHeads: heads.extra.length, hasDraft: draft !== undefined },
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
        loop: new BatchLoop({ model, controller, pool, scheduler, queue: this.#queue }),
      };
    }
    return this.#engine;
  }

  #assertOpen(): void {
    if (this.#closing.signal.aborted) throw new TypeError("the model is disposed of");
  }

  #needTokenizer(): TextTokenizer {
    if (this.tokenizer !== undefined) return this.tokenizer;
    throw new IdlmError("usage", { problem: `${this.info.path} has no tokenizer`, hint: "Use token ids." });
  }
}
