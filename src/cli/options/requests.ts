import { mapSettings } from "../../compute/sampling/settings.ts";
import { type GenerateRequest, type LoadOptions as LibraryOptions, load, type Model } from "../../index.ts";
import type { CliIo } from "../terminal/io.ts";
import { Progress, stages } from "../terminal/progress.ts";
import { megabytes, printable } from "../terminal/style.ts";
import type { LoadOptions, TextOptions } from "./generation-options.ts";
import { readLogitBias } from "./messages-file.ts";

/** Loads a model with a command's options and shows the progress; downloads a catalogue model if necessary. */
export async function loadModel(
  io: CliIo,
  name: string,
  options: Omit<LoadOptions, "adapter"> & { readonly adapter?: string | false },
  signal: AbortSignal,
  limits: Pick<
    LibraryOptions,
    "maxSequences" | "maxQueue" | "cachePositions" | "shareWith" | "reservedBytes" | "observer"
  > = {},
): Promise<Model> {
  const progress = new Progress(io);
  try {
    const { adapter, draftModel, context, threads, backend } = options;
    const model = await load(name, {
      adapter,
      draftModel,
      context,
      threads,
      backend,
      ...limits,
      signal,
      onProgress: ({ stage, bytesDone, bytesTotal }) =>
        progress.update(`${stages[stage]} ${name}`, bytesDone, bytesTotal),
      onWarning: (message) => {
        progress.end();
        io.notices.write(`warning: ${message}\n`);
      },
    });
    if (signal.aborted) await model.dispose();
    signal.throwIfAborted();
    if (io.isVerbose) {
      progress.end();
      io.notices.write(`${loadedLine(model)}\n`);
    }
    return model;
  } finally {
    progress.end();
  }
}

/** A line about the loaded model. */
function loadedLine({ info }: Model): string {
  const { path, architecture, nLayers, contextLength, weightBytes, adapter, backend, loadMs } = info;
  const parts = [
    `${architecture} of ${nLayers} layers`,
    `${megabytes(weightBytes)} of weights`,
    `context of ${contextLength}`,
    ...(adapter === undefined ? [] : [`adapter ${adapter.path}`]),
    `${backend.name} backend (${backend.instructionSet}, ${backend.threads} ${backend.threads === 1 ? "thread" : "threads"})`,
  ];
  return `loaded ${printable(path)} in ${loadMs.toFixed(0)} ms: ${printable(parts.join(", "))}`;
}

/** A command's options as a request; reads the files they name. */
export function textRequest(options: TextOptions): GenerateRequest {
  const { propose, shape, stride, verify, tau, maxTokens, seed, stop, logitBias } = options;
  return {
    ...{ propose, shape, stride, verify, tau, maxTokens, seed, stop },
    ...mapSettings((name) => options[name]),
    logitBias: logitBias === undefined ? undefined : readLogitBias(logitBias),
  };
}
