import type { Command } from "commander";
import { removeModel } from "../../hub/index.ts";
import { addCommonOptions, type Cli, examples, printJson } from "../cli.ts";
import { megabytes } from "../terminal/style.ts";

/** `idlm remove`: takes models out of the cache. */
export function registerRemove(program: Command, cli: Cli): void {
  addCommonOptions(program.command("remove"))
    .summary("remove models from the cache")
    .description("Removes models from the cache, with all that has come of them. Files elsewhere are never removed.")
    .argument("<name...>", "names as idlm list shows them")
    .option("--json", "print names and freed bytes as JSON and nothing else")
    .addHelpText("after", examples("idlm remove Qwen/Qwen3-0.6B", "idlm remove ORG/REPO:Q4_K_M smollm2-135m-instruct"))
    .action(async (names: readonly string[], { json }: { readonly json?: boolean }) => {
      const removed: { name: string; nBytes: number }[] = [];
      for (const name of names) {
        const nBytes = await removeModel(name);
        removed.push({ name, nBytes });
        if (!json) cli.io.stdout.write(`${name}: removed, ${megabytes(nBytes)}\n`);
      }
      if (json) printJson(cli, removed);
    });
}
