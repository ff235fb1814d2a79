import type { Command } from "commander";
import {
  catalogue,
  type ModelLocation,
  type PullProgress,
  pull,
  resolveAdapter,
  resolveModel,
} from "../../hub/index.ts";
import { addCommonOptions, type Cli, examples, printJson } from "../cli.ts";
import { withInterrupt } from "../terminal/interrupt.ts";
import type { CliIo } from "../terminal/io.ts";
import { Progress, stages } from "../terminal/progress.ts";

interface PullCommandOptions {
  readonly revision?: string;
  readonly json?: boolean;
}

const explanation = `
NAME is one of:
  a catalogue name   see below
  ORG/REPO           a repository of the hub: config.json, tokenizer and safetensors; or its only GGUF file; or an adapter
  ORG/REPO:FILE      one file of it (all parts of a split GGUF), or a quantisation: ORG/REPO:Q4_K_M
  a path             is checked and printed; nothing is downloaded

An interrupted download is kept, and the next pull resumes it. Set HF_ENDPOINT for another hub. The token for private
models is read from HF_TOKEN, or from the file of Hugging Face's tools.
`;

/** `idlm pull`: downloads a model into the cache. */
export function registerPull(program: Command, cli: Cli): void {
  const names = catalogue.map(
    ({ name, description, licence, file }) =>
      `  ${name}  ${description}; ${licence}; ${Math.ceil(file.nBytes / 1e6)} MB`,
  );
  addCommonOptions(program.command("pull"))
    .summary("download a model")
    .description(
      "Downloads a model into the cache (IDLM_HOME, else the platform's cache folder), verifies its checksums and prints " +
        "its path.",
    )
    .argument("<name>", "a catalogue name, ORG/REPO, ORG/REPO:FILE, or a path")
    .option("--revision <revision>", "branch, tag or commit of a repository (default: main)")
    .option("--json", "print only name and path, as JSON")
    .addHelpText(
      "after",
      explanation +
        `\nCatalogue:\n${names.join("\n")}\n` +
        examples(
          "idlm pull smollm2-135m-instruct",
          "idlm pull Qwen/Qwen3-0.6B",
          "idlm pull Qwen/Qwen3-0.6B-GGUF:Q8_0",
          "idlm pull ORG/REPO:model-Q4_K_M.gguf --revision v1.0 --json",
        ),
    )
    .action(async (name: string, { revision, json }: PullCommandOptions) => {
      const path = await withInterrupt(cli.io, (signal) =>
        withProgress(cli.io, name, (callbacks) => pull(name, { ...callbacks, revision, signal })),
      );
      if (json) printJson(cli, { name, path });
      else cli.io.stdout.write(`${path}\n`);
    });
}

/** Resolves a model, downloading it if necessary, and shows progress. */
export function resolveWithProgress(io: CliIo, name: string, signal: AbortSignal): Promise<ModelLocation> {
  return withProgress(io, name, (callbacks) => resolveModel(name, { ...callbacks, pull: true, signal }));
}

/** Resolves an adapter, downloading it if necessary, and shows progress. */
export function resolveAdapterWithProgress(io: CliIo, name: string, signal: AbortSignal): Promise<string> {
  return withProgress(io, name, (callbacks) => resolveAdapter(name, { ...callbacks, pull: true, signal }));
}

interface ProgressCallbacks {
  readonly onProgress: (progress: PullProgress) => void;
  readonly onNotice: (sentence: string) => void;
}

async function withProgress<T>(
  io: CliIo,
  name: string,
  work: (callbacks: ProgressCallbacks) => Promise<T>,
): Promise<T> {
  const progress = new Progress(io);
  try {
    return await work({
      onProgress: ({ stage, bytesDone, bytesTotal }) =>
        progress.update(`${stages[stage]} ${name}`, bytesDone, bytesTotal),
      onNotice: (sentence) => {
        progress.end();
        io.notices.write(`${sentence}\n`);
      },
    });
  } finally {
    progress.end();
  }
}
