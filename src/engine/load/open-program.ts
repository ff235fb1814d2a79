import type { Backend } from "../../compute/backend.ts";
import { createNativeBackend, supportedInstructionSets } from "../../compute/native/index.ts";
import type { Program } from "../../compute/program/program.ts";
import { createReferenceBackend } from "../../compute/reference/index.ts";
import { IdlmError } from "../../errors.ts";
import { sha256File } from "../../formats/files/sha256.ts";
import type { ModelLocation } from "../../hub/index.ts";
import { type CompileOptions, compileProgram } from "../../model/compile.ts";
import { maskTokenEmbedding } from "../../model/open/mask-token.ts";
import { type OpenedModel, openModel } from "../../model/open/open-model.ts";
import type { LoadOptions } from "../types.ts";

/** The requested backend, or native, or the reference with a warning if native was not built. */
export function chooseBackend({
  backend,
  threads,
  onWarning,
}: Pick<LoadOptions, "backend" | "threads" | "onWarning">): Backend {
  if (backend === "reference") return createReferenceBackend();
  if (backend === undefined) {
    try {
      supportedInstructionSets();
    } catch (error) {
      if (!(error instanceof IdlmError) || error.code !== "backend") throw error;
      onWarning?.(`${error.message} The TypeScript reference backend is used, which is more than 20 times slower.`);
      return createReferenceBackend();
    }
  }
  return createNativeBackend(threads === undefined ? {} : { threads });
}

/**
 * Opens a model and compiles it with its adapter. The weights are in the opened files: close them after a backend has
 * loaded the program. Throws the errors of `openModel` and `compileProgram`, and the signal's reason.
 */
export async function openProgram(
  location: ModelLocation,
  { usesMaskToken = false, ...options }: Omit<CompileOptions, "modelSha256"> & { readonly usesMaskToken?: boolean },
  signal: AbortSignal | undefined,
): Promise<{ readonly opened: OpenedModel; readonly program: Program }> {
  const isNamed = options.adapter?.idlm?.baseSha256 !== undefined;
  const modelSha256 = isNamed ? await sha256Of(location, signal) : undefined;
  signal?.throwIfAborted();
  const opened = openModel(location.path, location.kind);
  try {
    const ownMask = usesMaskToken && options.maskEmbedding === undefined;
    const maskEmbedding = ownMask ? maskTokenEmbedding(opened, options.adapter) : undefined;
    const program = compileProgram(opened, {
      ...options,
      ...(modelSha256 !== undefined && { modelSha256 }),
      ...(maskEmbedding && { maskEmbedding }),
    });
    return { opened, program };
  } catch (error) {
    opened.close();
    throw error;
  }
}

/** Fingerprint of the base model in an adapter: the hash of a single model file. A folder has none. */
async function sha256Of(
  { sha256, kind, path }: ModelLocation,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  if (sha256 !== undefined) return sha256;
  return kind === "gguf" ? sha256File(path, undefined, signal) : undefined;
}
