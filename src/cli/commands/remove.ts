import type { Command } from "commander";
import { removeModel } from "../../hub/index.ts";
import { addCommonOptions, type Cli, examples, printJson } from "../cli.ts";
import { megabytes } from "../terminal/style.ts";

/** `idlm remove`: removes models from the cache. */
export function registerRemove(program: Command, cli: Cli): void {
  addCommonOptions(program.command("remove"))
    .summary("remove models from the cache")
    .description(
      "Removes models from the cache, including partial downloads. Files outside of the cache are never removed.",
    )
    .argument("<name...>", "names from idlm list")
    .option("--json", "print only names and freed bytes, as JSON")
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
