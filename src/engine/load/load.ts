import type { Backend } from "../../compute/backend.ts";
import { PAGE_SIZE } from "../../compute/forest/forest.ts";
import type { LoadedModel } from "../../compute/loaded-model.ts";
import type { Program } from "../../compute/program/program.ts";
import type { DraftModel } from "../../decoding/proposers/draft-model.ts";
import { key, phrase } from "../../errors.ts";
import { type Adapter, readAdapter } from "../../formats/adapter/adapter.ts";
import { adapterFor, type ModelLocation, resolveAdapter, resolveModel } from "../../hub/index.ts";
import type { OpenedModel } from "../../model/open/open-model.ts";
import { type EngineLimits, EngineModel } from "../engine-model.ts";
import { loadDraft } from "./load-draft.ts";
import { DEFAULT_QUEUE, DEFAULT_SEQUENCES, MAX_SEQUENCES } from "../limits.ts";
import { availableMemory, baseBytes, fittingContext, fittingPages, kvBytesPerPosition } from "../kv/memory.ts";
import { chooseBackend, openProgram } from "./open-program.ts";
import { shown, usage, wholeIn, wrongKey } from "../request/request-values.ts";
import { textOf } from "./text-tokenizer.ts";
import type { LoadOptions, Model, ModelInfo } from "../types.ts";

const keys: Readonly<Record<keyof LoadOptions, true>> = {
  adapter: true,
  draftModel: true,
  backend: true,
  threads: true,
  context: true,
  maxSequences: true,
  maxQueue: true,
  cachePositions: true,
  shareWith: true,
  reservedBytes: true,
  observer: true,
  pull: true,
  onProgress: true,
  onWarning: true,
  signal: true,
};

/**
 * Loads a model: a name of the catalogue or of a repository of the hub (ORG/REPO or ORG/REPO:FILE; fetched where they are
 * missing, else taken from the cache without asking the network), a GGUF file or a Hugging Face folder.
 * @throws IdlmError "usage", "file-missing", "file-malformed", "unsupported", "adapter-mismatch", "memory", "backend",
 * and those of a download; the signal's reason where it is aborted.
 * @example
 * ```ts
 * import { load } from "idlm";
 *
 * const model = await load("smollm2-135m-instruct");
 * const generation = model.generate({ messages: [{ role: "user", content: "What is a forest?" }], maxTokens: 40 });
 * for await (const { text } of generation) process.stdout.write(text);
 * const { tokens, forwards } = await generation.result;
 * console.log(`\n${tokens.length} tokens in ${forwards} forwards`);
 * await model.dispose();
 * ```
 */
export async function load(model: string, options: LoadOptions = {}): Promise<Model> {
  checkOptions(model, options);
  const { signal, onProgress, onWarning, pull = true } = options;
  signal?.throwIfAborted();
  const shared = options.shareWith === undefined ? undefined : weightsOf(options.shareWith);
  const backend = shared?.backend ?? chooseBackend(options);
  const resolving = { pull, onProgress, onNotice: onWarning, signal };
  const location = await resolveModel(model, resolving);
  const adapterFolder =
    typeof options.adapter === "string" ? await resolveAdapter(options.adapter, resolving) : undefined;
  const draftLocation =
    options.draftModel === undefined ? undefined : await resolveModel(options.draftModel, resolving);
  const startMs = performance.now();
  const adapter = options.adapter === false ? undefined : adapterOf(location, adapterFolder);
  const { opened, program } = await openProgram(
    location,
    { ...(adapter && { adapter }), usesMaskToken: options.adapter !== false },
    signal,
  );
  try {
    const { config } = opened;
    for (const warning of opened.warnings) onWarning?.(warning);
    if (options.context !== undefined && options.context > config.contextLength) {
      const problem = `${options.context} is above the model's ${config.contextLength} positions`;
      throw wrongKey("context", problem, `Use ${config.contextLength} or less.`);
    }
    const available =
      availableMemory() -
      (options.reservedBytes ?? 0) +
      (shared === undefined ? 0 : baseBytes(program, backend.info.name));
    const contextLength = fittingContext(program, backend.info.name, options.context, config.contextLength, available);
    const limits = limitsOf(program, backend, contextLength, options, available);
    onProgress?.({ stage: "load", bytesDone: 0, bytesTotal: 1 });
    const loading = backend.load(program, shared === undefined ? {} : { shareWith: shared.model });
    const { loaded, text } = await withText(loading, opened);
    const draft = await draftOf(draftLocation, opened, backend, limits).catch((error) => {
      loaded.dispose();
      throw error;
    });
    if (signal?.aborted) {
      await draft?.dispose();
      loaded.dispose();
    }
    signal?.throwIfAborted();
    onProgress?.({ stage: "load", bytesDone: 1, bytesTotal: 1 });
    const loadMs = performance.now() - startMs;
    const sizes = {
      ...{ weightBytes: loaded.weightBytes, contextLength },
      cacheBytes: limits.nPages * PAGE_SIZE * kvBytesPerPosition(program),
    };
    const info = infoOf(opened, program, backend, sizes, loadMs, adapter);
    const { observer } = options;
    return new EngineModel({
      ...{ model: loaded, draft, backend: backend.info, info, limits, loadedBy: backend, observer },
      ...text,
    });
  } finally {
    opened.close();
  }
}

/** Reads the tokenizer while the backend packs the weights, on other threads. */
async function withText(loading: Promise<LoadedModel>, opened: OpenedModel) {
  const [model, text] = await Promise.allSettled([loading, (async () => textOf(opened))()]);
  if (model.status === "rejected") throw text.status === "rejected" ? text.reason : model.reason;
  if (text.status === "fulfilled") return { loaded: model.value, text: text.value };
  model.value.dispose();
  throw text.reason;
}

/** Loads the draft model, with as many KV positions as the model's cache, at least one context. */
async function draftOf(
  location: ModelLocation | undefined,
  opened: OpenedModel,
  backend: Backend,
  { nPages }: EngineLimits,
): Promise<DraftModel | undefined> {
  return location === undefined ? undefined : loadDraft(location, opened, backend, nPages * PAGE_SIZE);
}

function limitsOf(
  program: Program,
  backend: Backend,
  context: number,
  { maxSequences = DEFAULT_SEQUENCES, maxQueue = DEFAULT_QUEUE, cachePositions }: LoadOptions,
  available: number,
): EngineLimits {
  if (cachePositions !== undefined && cachePositions < context) {
    const problem = `${cachePositions} is below the context of ${context}`;
    throw wrongKey("cachePositions", problem, phrase`Raise it or lower ${key("context")}.`);
  }
  const nPages = fittingPages(program, backend.info.name, context, maxSequences, cachePositions, available);
  return { nPages, maxSequences, maxQueue };
}

function infoOf(
  { path, config }: OpenedModel,
  program: Program,
  backend: Backend,
  sizes: Pick<ModelInfo, "weightBytes" | "cacheBytes" | "contextLength">,
  loadMs: number,
  adapter: Adapter | undefined,
): ModelInfo {
  const { mask } = program;
  return {
    path,
    architecture: config.architecture,
    nLayers: config.nLayers,
    vocabSize: config.vocabSize,
    ...sizes,
    backend: backend.info,
    loadMs,
    ...(adapter === undefined
      ? {}
      : { adapter: { path: adapter.path, depths: mask?.nDepths ?? 0, entryLayer: mask?.entryLayer ?? 0 } }),
  };
}

/** @throws IdlmError "usage" unless it is a model that `load` made. */
function weightsOf(model: Model) {
  if (model instanceof EngineModel) return model.weights;
  throw wrongKey("shareWith", "expected a loaded model", "Give one that load returned.");
}

function checkOptions(model: string, options: LoadOptions): void {
  if (typeof model !== "string" || model === "")
    throw usage("no model was given", "Give a catalogue name, a GGUF file or a folder.");
  const unknown = Object.keys(options).find((key) => !Object.hasOwn(keys, key));
  if (unknown !== undefined)
    throw usage(`load: unknown option ${unknown}`, `Valid options: ${Object.keys(keys).join(", ")}.`);
  const { context, backend, draftModel } = options;
  if (draftModel !== undefined && (typeof draftModel !== "string" || draftModel === "")) {
    throw wrongKey(
      "draftModel",
      `expected a name or a path, found ${shown(draftModel)}`,
      "Name it as a model is named.",
    );
  }
  if (context !== undefined && !(Number.isSafeInteger(context) && context >= 2)) {
    throw wrongKey(
      "context",
      `expected a whole number from 2, found ${shown(context)}`,
      "It counts positions of prompt and output.",
    );
  }
  wholeIn("maxSequences", options.maxSequences, 1, MAX_SEQUENCES);
  wholeIn("maxQueue", options.maxQueue, 0, Number.MAX_SAFE_INTEGER);
  wholeIn("reservedBytes", options.reservedBytes, 0, Number.MAX_SAFE_INTEGER);
  wholeIn("cachePositions", options.cachePositions, 1, Number.MAX_SAFE_INTEGER);
  if (backend !== undefined && backend !== "native" && backend !== "reference") {
    throw wrongKey("backend", `expected native or reference, found ${shown(backend)}`, "Leave it out for the fastest.");
  }
}

function adapterOf({ catalogueEntry }: ModelLocation, wanted: string | undefined): Adapter | undefined {
  const folder = wanted ?? (catalogueEntry === undefined ? undefined : adapterFor(catalogueEntry));
  return folder === undefined ? undefined : readAdapter(folder);
}
