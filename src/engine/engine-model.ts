import type { BackendInfo, LoadedModel } from "../compute/backend.ts";
import { IdlmError } from "../errors.ts";
import { generate } from "./generate.ts";
import { startGeneration } from "./generation.ts";
import { MAX_ROUND_ROWS } from "./limits.ts";
import { type KvSequence, PagePool, pagesFor } from "./page-pool.ts";
import { Queue } from "./queue.ts";
import { checkRequest, type RequestLimits } from "./request.ts";
import { runForest } from "./run-forest.ts";
import type {
  ForestInput,
  ForwardOptions,
  ForwardOutput,
  GenerateRequest,
  Generation,
  Model,
  ModelInfo,
  Session,
  TextTokenizer,
} from "./types.ts";

/** What an engine model is made of. */
export interface EngineParts {
  readonly model: LoadedModel;
  readonly backend: BackendInfo;
  readonly info: ModelInfo;
  readonly tokenizer: TextTokenizer | undefined;
  readonly endTokens: ReadonlySet<number>;
}

/** A loaded model with its KV cache. Takes ownership of the parts. */
export class EngineModel implements Model {
  readonly info: ModelInfo;
  readonly tokenizer: TextTokenizer | undefined;
  readonly #parts: EngineParts;
  readonly #queue = new Queue();
  readonly #closing = new AbortController();
  /** Made when first needed; its pages are memory only once they are written. */
  #pool: PagePool | undefined;
  #disposed: Promise<void> | undefined;

  constructor(parts: EngineParts) {
    this.#parts = parts;
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
    // Without a session nothing is kept.
    const sequence = this.#openPool().createSequence();
    try {
      return this.#start(request, sequence, () => this.#pool?.remove(sequence));
    } catch (error) {
      this.#pool?.remove(sequence);
      throw error;
    }
  }

  session(): Session {
    const sequence = this.#openPool().createSequence();
    let isDisposed = false;
    return {
      generate: (request) => {
        if (isDisposed) throw new TypeError("the session is disposed of");
        return this.#start(request, sequence, () => {});
      },
      get cachedTokens() {
        return sequence.length;
      },
      dispose: async () => {
        isDisposed = true;
        await this.#queue.idle();
        this.#pool?.remove(sequence);
      },
    };
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
    await this.#queue.idle();
    this.#pool?.dispose();
    this.#pool = undefined;
    this.#parts.model.dispose();
  }

  #start(request: GenerateRequest, sequence: KvSequence, release: () => void): Generation {
    this.#assertOpen();
    const { model, backend, tokenizer, endTokens } = this.#parts;
    const checked = checkRequest(request, this.#limits());
    const signals = [this.#closing.signal, ...(checked.signal === undefined ? [] : [checked.signal])];
    return startGeneration((sink) => {
      const run = () => generate({ model, backend, tokenizer, endTokens, sequence }, checked, sink);
      return this.#queue.run(run).finally(release);
    }, signals);
  }

  #limits(): RequestLimits {
    const { model, info, tokenizer } = this.#parts;
    const { mask, vocabSize } = model.program;
    return {
      ...{ vocabSize, context: info.contextLength, mask, adapterPath: info.adapter?.path, tokenizer },
      ...{ hasMedusa: false, hasDraft: false },
    };
  }

  #openPool(): PagePool {
    this.#assertOpen();
    this.#pool ??= new PagePool(this.#parts.model, pagesFor(this.info.contextLength + MAX_ROUND_ROWS));
    return this.#pool;
  }

  #assertOpen(): void {
    if (this.#closing.signal.aborted) throw new TypeError("the model is disposed of");
  }

  #needTokenizer(): TextTokenizer {
    if (this.tokenizer !== undefined) return this.tokenizer;
    throw new IdlmError("usage", { problem: `${this.info.path} has no tokenizer`, hint: "Use token ids." });
  }
}
