import type { Command } from "commander";
import { catalogue, pull } from "../hub/index.ts";
import { addCommonOptions, type Cli, examples, printJson } from "./cli.ts";
import { withInterrupt } from "./interrupt.ts";
import type { CliIo } from "./io.ts";
import { Progress, stages } from "./progress.ts";

/** `idlm pull`: fetches a model of the catalogue into the cache. */
export function registerPull(program: Command, cli: Cli): void {
  const names = catalogue.map(
    ({ name, description, licence, file }) =>
      `  ${name}  ${description}; ${licence}; ${Math.ceil(file.nBytes / 1e6)} MB`,
  );
  addCommonOptions(program.command("pull"))
    .summary("fetch a model")
    .description(
      "Fetches a model into the cache (IDLM_HOME, else the platform's cache folder) and verifies its checksum.",
    )
    .argument("<name>", "a name of the catalogue")
    .option("--json", "print name and path as JSON and nothing else")
    .addHelpText("after", `\nModels:\n${names.join("\n")}\n${examples("idlm pull smollm2-135m-instruct")}`)
    .action(async (name: string, options: { readonly json?: boolean }) => {
      const path = await withInterrupt(cli.io, (signal) => pullWithProgress(cli.io, name, signal));
      if (options.json) printJson(cli, { name, path });
      else cli.io.stdout.write(`${path}\n`);
    });
}

/** Fetches what is not there yet, showing how far it is. Returns the model's path. */
export async function pullWithProgress(io: CliIo, name: string, signal: AbortSignal): Promise<string> {
  const progress = new Progress(io);
  try {
    return await pull(name, {
      signal,
      onProgress: ({ stage, bytesDone, bytesTotal }) =>
        progress.update(`${stages[stage]} ${name}`, bytesDone, bytesTotal),
    });
  } finally {
    progress.end();
  }
}
