import type { Backend, BackendInfo } from "../../compute/backend.ts";
import type { LoadedModel } from "../../compute/loaded-model.ts";
import type { Program } from "../../compute/program/program.ts";
import { chooseBackend, openProgram } from "../../engine/load/open-program.ts";
import { readAdapter } from "../../formats/adapter/adapter.ts";
import { readMaskEmbeddingFile } from "../../formats/adapter/mask-embedding.ts";
import { adapterFor, findEntry } from "../../hub/index.ts";
import { resolveAdapterWithProgress, resolveWithProgress } from "../commands/pull.ts";
import type { CliIo } from "../terminal/io.ts";

export interface BareOptions {
  readonly adapter?: string;
  readonly maskEmbedding?: string;
  readonly backend?: "native" | "reference";
  readonly threads?: number;
}

/** A model without tokenizer and scheduler, for commands that run single forwards. The caller disposes of it. */
export interface BareModel {
  readonly model: LoadedModel;
  readonly info: BackendInfo;
  /** Context length of the model (positions). */
  readonly contextLength: number;
}

/** A program whose weights are in opened files: `close` them after a backend has loaded it. */
export interface BareProgram {
  readonly backend: Backend;
  readonly program: Program;
  readonly contextLength: number;
  close(): void;
}

/** Opens the program of a model, downloading it first if it is not in the cache. */
export async function openBareProgram(
  io: CliIo,
  name: string,
  options: BareOptions,
  signal: AbortSignal,
): Promise<BareProgram> {
  const backend = chooseBackend({ ...options, onWarning: (message) => io.notices.write(`warning: ${message}\n`) });
  const location = await resolveWithProgress(io, name, signal);
  const adapter =
    options.adapter === undefined
      ? undefined
      : readAdapter(await resolveAdapterWithProgress(io, options.adapter, signal));
  const maskEmbedding = options.maskEmbedding === undefined ? undefined : readMaskEmbeddingFile(options.maskEmbedding);
  const { opened, program } = await openProgram(
    location,
    { ...(adapter && { adapter, usesMaskToken: true }), ...(maskEmbedding && { maskEmbedding }) },
    signal,
  );
  for (const warning of opened.warnings) io.notices.write(`warning: ${warning}\n`);
  return { backend, program, contextLength: opened.config.contextLength, close: () => opened.close() };
}

/** Loads the program of a model, downloading it first if it is not in the cache. */
export async function loadBareModel(
  io: CliIo,
  name: string,
  options: BareOptions,
  signal: AbortSignal,
): Promise<BareModel> {
  const { backend, program, contextLength, close } = await openBareProgram(io, name, options, signal);
  try {
    return { model: await backend.load(program), info: backend.info, contextLength };
  } finally {
    close();
  }
}

/** `adapter` of BareOptions: the requested one, else the catalogue's, if any. */
export function defaultAdapter(name: string, wanted: string | undefined): { adapter?: string } {
  const entry = findEntry(name);
  const folder = wanted ?? (entry && adapterFor(entry));
  return folder === undefined ? {} : { adapter: folder };
}
