import type { Backend, BackendInfo, LoadedModel } from "../compute/backend.ts";
import { createNativeBackend } from "../compute/native/index.ts";
import { createReferenceBackend } from "../compute/reference/index.ts";
import { IdlmError } from "../errors.ts";
import { readAdapter } from "../formats/adapter.ts";
import { readMaskEmbeddingFile } from "../formats/mask-embedding.ts";
import { sha256File } from "../formats/sha256.ts";
import type { ModelLocation } from "../hub/index.ts";
import { compileProgram } from "../model/compile.ts";
import { openModel } from "../model/open-model.ts";
import type { CliIo } from "./io.ts";
import { resolveAdapterWithProgress, resolveWithProgress } from "./pull.ts";

export interface BareOptions {
  readonly adapter?: string;
  readonly maskEmbedding?: string;
  readonly backend?: "native" | "reference";
  readonly threads?: number;
}

/** A model without tokenizer and requests, for commands that look at forwards. The caller disposes of it. */
export interface BareModel {
  readonly model: LoadedModel;
  readonly info: BackendInfo;
  /** Positions that the model was made for. */
  readonly contextLength: number;
}

/** Loads a model's program only; fetches it first where it is a name that is not in the cache. */
export async function loadBareModel(
  io: CliIo,
  name: string,
  options: BareOptions,
  signal: AbortSignal,
): Promise<BareModel> {
  const backend = createBackend(io, options);
  const location = await resolveWithProgress(io, name, signal);
  const adapter =
    options.adapter === undefined
      ? undefined
      : readAdapter(await resolveAdapterWithProgress(io, options.adapter, signal));
  const maskEmbedding = options.maskEmbedding === undefined ? undefined : readMaskEmbeddingFile(options.maskEmbedding);
  const modelSha256 = adapter?.idlm?.baseSha256 === undefined ? undefined : await sha256Of(location, signal);
  const opened = openModel(location.path, location.kind);
  try {
    const program = compileProgram(opened, {
      ...(adapter && { adapter }),
      ...(maskEmbedding && { maskEmbedding }),
      ...(modelSha256 !== undefined && { modelSha256 }),
    });
    return { model: await backend.load(program), info: backend.info, contextLength: opened.config.contextLength };
  } finally {
    opened.close();
  }
}

/** As `load` chooses: native, and where it was not built the reference, with a warning. */
function createBackend(io: CliIo, { backend, threads }: BareOptions): Backend {
  if (backend === "reference") return createReferenceBackend();
  try {
    return createNativeBackend(threads === undefined ? {} : { threads });
  } catch (error) {
    if (backend === "native" || process.env.IDLM_ISA || !(error instanceof IdlmError) || error.code !== "backend")
      throw error;
    io.notices.write(`warning: ${error.message} The reference backend is used, which is slow.\n`);
    return createReferenceBackend();
  }
}

/** The fingerprint that adapters carry: of the model's one file. */
async function sha256Of(location: ModelLocation, signal: AbortSignal): Promise<string | undefined> {
  if (location.sha256 !== undefined) return location.sha256;
  return location.kind === "gguf" ? await sha256File(location.path, undefined, signal) : undefined;
}
