import { findEntry } from "../hub/index.ts";
import { type GenerationRequest, load, type Model } from "../index.ts";
import type { LoadOptions, TextOptions } from "./generation-options.ts";
import type { CliIo } from "./io.ts";
import { readLogitBias } from "./messages-file.ts";
import { pullWithProgress } from "./pull.ts";

/** Loads a model with a command's options; fetches it first where it is a name of the catalogue. */
export async function loadModel(io: CliIo, name: string, options: LoadOptions, signal: AbortSignal): Promise<Model> {
  if (findEntry(name) !== undefined) await pullWithProgress(io, name, signal);
  const { adapter, context, threads, backend } = options;
  const model = await load(name, defined({ adapter, context, threads, backend }));
  if (signal.aborted) {
    await model.dispose();
    signal.throwIfAborted();
  }
  return model;
}

/** A command's options as a request; the files that they name are read. */
export function textRequest(options: TextOptions): GenerationRequest {
  const { logitBias, stop, ...settings } = options;
  return defined({ ...settings, logitBias: logitBias === undefined ? undefined : readLogitBias(logitBias), stop });
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Without the keys whose value is undefined: the library tells them apart from keys that are not there. */
function defined<T extends object>(values: T): Defined<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Defined<T>;
}
