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
  a name of the catalogue   see below
  ORG/REPO                  a repository of the hub: config.json, tokenizer and safetensors; or its one GGUF file; or an adapter
  ORG/REPO:FILE             one file of it (of a split GGUF all parts), or the GGUF of a quantisation: ORG/REPO:Q4_K_M
  a path                    is looked at and stays where it is

What has come is kept when a download is cut off; the next pull goes on. HF_ENDPOINT names another hub. The token for
private models is HF_TOKEN, or the file that Hugging Face's own tools keep it in.
`;

/** `idlm pull`: fetches a model into the cache. */
export function registerPull(program: Command, cli: Cli): void {
  const names = catalogue.map(
    ({ name, description, licence, file }) =>
      `  ${name}  ${description}; ${licence}; ${Math.ceil(file.nBytes / 1e6)} MB`,
  );
  addCommonOptions(program.command("pull"))
    .summary("fetch a model")
    .description(
      "Fetches a model into the cache (IDLM_HOME, else the platform's cache folder), verifies its checksums and prints " +
        "where it lies.",
    )
    .argument("<name>", "a name of the catalogue, ORG/REPO, ORG/REPO:FILE, or a path")
    .option("--revision <revision>", "branch, tag or commit of a repository (default: main)")
    .option("--json", "print name and path as JSON and nothing else")
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
        showingProgress(cli.io, name, (shown) => pull(name, { ...shown, revision, signal })),
      );
      if (json) printJson(cli, { name, path });
      else cli.io.stdout.write(`${path}\n`);
    });
}

/** Where a model lies; fetches it if need be, showing how far it is. */
export function resolveWithProgress(io: CliIo, name: string, signal: AbortSignal): Promise<ModelLocation> {
  return showingProgress(io, name, (shown) => resolveModel(name, { ...shown, pull: true, signal }));
}

/** Where an adapter lies; fetches it if need be, showing how far it is. */
export function resolveAdapterWithProgress(io: CliIo, name: string, signal: AbortSignal): Promise<string> {
  return showingProgress(io, name, (shown) => resolveAdapter(name, { ...shown, pull: true, signal }));
}

interface Shown {
  readonly onProgress: (progress: PullProgress) => void;
  readonly onNotice: (sentence: string) => void;
}

async function showingProgress<T>(io: CliIo, name: string, work: (shown: Shown) => Promise<T>): Promise<T> {
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
