import { wrongKey } from "../../engine/request/request-values.ts";
import type { Model, ModelObserver } from "../../engine/types.ts";
import { IdlmError } from "../../errors.ts";
import type { MeasuredModel } from "../metrics.ts";

/** A model that the server offers. */
export interface ModelSpec {
  /** The name that requests give. */
  readonly name: string;
  /** Further names. */
  readonly aliases: readonly string[];
  /** What is loaded: a MODEL argument. */
  readonly source: string;
  /** Adapter folder; false: none; undefined: the catalogue's. */
  readonly adapter: string | false | undefined;
}

/** A loaded model, while a request uses it. */
export interface ServedModel {
  /** As the request named it. */
  readonly name: string;
  readonly model: Model;
}

/** What is known of an offered model. */
export interface ModelDescription {
  readonly name: string;
  readonly spec: ModelSpec;
  /** Seconds since 1970. */
  readonly createdSeconds: number;
  /** Undefined: not loaded. */
  readonly model: Model | undefined;
  /** When it is unloaded if nobody uses it before; undefined: only where another model needs its memory. */
  readonly expires: Date | undefined;
}

interface Entry {
  readonly spec: ModelSpec;
  loading: Promise<Model> | undefined;
  model: Model | undefined;
  nUsers: number;
  /** When it was used last, in a count of uses. */
  lastUse: number;
  /** How long it stays loaded after its last use. */
  keepMs: number;
  expiresMs: number | undefined;
  timer: NodeJS.Timeout | undefined;
}

/** How a model is loaded beside others. */
export interface LoadingOptions {
  readonly signal: AbortSignal;
  /** A loaded model of the same source. */
  readonly shareWith: Model | undefined;
  /** Memory that the KV caches of other models may still take. */
  readonly reservedBytes: number;
  readonly observer: ModelObserver;
}

export type LoadModel = (spec: ModelSpec, options: LoadingOptions) => Promise<Model>;

/** Longest time of a timer, 24 days. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** The offered models. They are loaded when a request names them, and unloaded where another needs their memory. */
export class Models {
  readonly #entries: readonly Entry[];
  readonly #byName = new Map<string, Entry>();
  readonly #load: LoadModel;
  readonly #observer: (name: string) => ModelObserver;
  readonly #closing = new AbortController();
  readonly #createdSeconds = Math.floor(Date.now() / 1000);
  #isReady = true;
  #nUses = 0;
  /** Loads one after the other: each measures the memory that is left. */
  #loads: Promise<unknown> = Promise.resolve();

  /** `observer`: of a model, by its name. */
  constructor(specs: readonly ModelSpec[], load: LoadModel, observer: (name: string) => ModelObserver = () => ({})) {
    this.#load = load;
    this.#observer = observer;
    this.#entries = specs.map((spec) => ({
      ...{ spec, loading: undefined, model: undefined, nUsers: 0, lastUse: 0 },
      ...{ keepMs: Number.POSITIVE_INFINITY, expiresMs: undefined, timer: undefined },
    }));
    for (const entry of this.#entries) {
      for (const name of [entry.spec.name, ...entry.spec.aliases]) {
        if (!this.#byName.has(name)) this.#byName.set(name, entry);
      }
    }
  }

  /** Loads a model before it is asked for; until then the server is not ready. */
  async preload(name: string, signal: AbortSignal): Promise<void> {
    this.#isReady = false;
    await this.use(name, signal, async () => {});
    this.#isReady = true;
  }

  /** Whether no model is being preloaded. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /** A text for a client, without the paths of loaded models and adapters. */
  redact(text: string): string {
    let shown = text;
    for (const { model, spec } of this.#entries) {
      for (const path of [model?.info.path, model?.info.adapter?.path]) {
        if (path === undefined) continue;
        for (const form of [path, JSON.stringify(path).slice(1, -1)]) shown = shown.replaceAll(form, spec.name);
      }
    }
    return shown;
  }

  /** All offered models, the first one first. */
  list(): readonly ModelDescription[] {
    return this.#entries.map((entry) => this.#describe(entry));
  }

  /** The loaded models. */
  measured(): readonly MeasuredModel[] {
    return this.#entries.flatMap(({ spec: { name }, model }) =>
      model === undefined ? [] : [{ name, stats: () => model.stats() }],
    );
  }

  /** The model of a name or an alias. */
  find(name: string): ModelDescription | undefined {
    const entry = this.#byName.get(name);
    return entry && this.#describe(entry);
  }

  /**
   * Runs `work` with a loaded model, which is not unloaded meanwhile. Without a name the first one is used.
   * @throws IdlmError "model-not-found"; those of loading; the signal's reason.
   */
  async use<T>(name: string | undefined, signal: AbortSignal, work: (served: ServedModel) => Promise<T>): Promise<T> {
    const entry = name === undefined ? this.#entries[0] : this.#byName.get(name);
    if (entry === undefined) throw new IdlmError("model-not-found", { model: name ?? "of no name" });
    entry.nUsers++;
    entry.lastUse = ++this.#nUses;
    clearTimeout(entry.timer);
    entry.expiresMs = undefined;
    try {
      const model = entry.model ?? (await unlessAborted(this.#loaded(entry), signal));
      return await work({ name: name ?? entry.spec.name, model });
    } finally {
      entry.nUsers--;
      this.#expireLater(entry);
    }
  }

  /**
   * How long a model stays loaded after it was used, from its next use on. Infinity, as at first: until another one needs its
   * memory.
   */
  keep(name: string, seconds: number): void {
    const entry = this.#byName.get(name);
    if (entry === undefined) return;
    const ms = seconds * 1000;
    entry.keepMs = ms > MAX_TIMER_MS ? Number.POSITIVE_INFINITY : ms;
  }

  #expireLater(entry: Entry): void {
    if (entry.nUsers > 0 || entry.model === undefined || entry.keepMs === Number.POSITIVE_INFINITY) return;
    entry.expiresMs = Date.now() + entry.keepMs;
    clearTimeout(entry.timer);
    entry.timer = setTimeout(() => void this.unload(entry.spec.name).catch(() => {}), entry.keepMs);
    entry.timer.unref();
  }

  /**
   * Unloads a model that no request uses; whether it is not loaded afterwards. A request that names it loads it again.
   * @throws IdlmError "model-not-found".
   */
  async unload(name: string): Promise<boolean> {
    const entry = this.#byName.get(name);
    if (entry === undefined) throw new IdlmError("model-not-found", { model: name });
    // A model that is being loaded may share this one's weights.
    await this.#loads;
    if (entry.nUsers === 0) await unload(entry);
    return entry.model === undefined;
  }

  /** Cancels what runs, and frees everything. */
  async dispose(): Promise<void> {
    this.#closing.abort();
    for (const { timer } of this.#entries) clearTimeout(timer);
    await this.#loads;
    await Promise.all(this.#entries.map(({ model }) => model?.dispose()));
  }

  #describe({ spec, model, expiresMs }: Entry): ModelDescription {
    const expires = expiresMs === undefined || model === undefined ? undefined : new Date(expiresMs);
    return { name: spec.name, spec, createdSeconds: this.#createdSeconds, model, expires };
  }

  #loaded(entry: Entry): Promise<Model> {
    if (entry.loading !== undefined) return entry.loading;
    const loading = this.#loads.then(() => this.#loadWithRoom(entry));
    this.#loads = loading.catch(() => {});
    entry.loading = loading.finally(() => {
      entry.loading = undefined;
    });
    entry.loading.catch(() => {});
    return entry.loading;
  }

  #besideOthers({ spec }: Entry): LoadingOptions {
    const loaded = this.#entries.filter(({ model }) => model !== undefined);
    return {
      signal: this.#closing.signal,
      shareWith: loaded.find((other) => other.spec.source === spec.source)?.model,
      reservedBytes: loaded.reduce((sum, { model }) => sum + (model?.info.cacheBytes ?? 0), 0),
      observer: this.#observer(spec.name),
    };
  }

  /** Unloads idle models, the least recently used first, until there is memory for this one. */
  async #loadWithRoom(entry: Entry): Promise<Model> {
    while (true) {
      try {
        const model = await this.#load(entry.spec, this.#besideOthers(entry));
        entry.model = model;
        return model;
      } catch (error) {
        const idle = this.#entries.filter(({ model, nUsers }) => model !== undefined && nUsers === 0);
        const [oldest] = idle.toSorted((a, b) => a.lastUse - b.lastUse);
        if (!(error instanceof IdlmError && error.code === "memory") || oldest === undefined) throw error;
        await unload(oldest);
      }
    }
  }
}

async function unload(entry: Entry): Promise<void> {
  const { model } = entry;
  entry.model = undefined;
  await model?.dispose();
}

/** The name in a body's key `model`. @throws IdlmError "usage" where there is none. */
export function requiredModel(value: unknown): string {
  if (typeof value === "string" && value !== "") return value;
  throw wrongKey("model", "expected the name of a model", "GET /v1/models lists the names.");
}

/** As `requiredModel`, for clients of a server that has one model. Undefined: the first model. */
export function modelOrFirst(value: unknown): string | undefined {
  return value === undefined || value === null || value === "" ? undefined : requiredModel(value);
}

/** Waits for a promise unless the signal is aborted first. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
