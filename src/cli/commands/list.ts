import type { Command } from "commander";
import { escapeControls } from "../../errors.ts";
import { type ListedModel, listModels } from "../../hub/index.ts";
import { addCommonOptions, type Cli, examples, printJson } from "../cli.ts";
import { megabytes } from "../terminal/style.ts";

/** `idlm list`: shows the cache. */
export function registerList(program: Command, cli: Cli): void {
  addCommonOptions(program.command("list"))
    .summary("show the models in the cache")
    .description(
      "Shows the downloaded models: name, size on disk, state, and revision with commit (or package). ready: verified, and " +
        "unchanged since. unchecked: verified when it is used. damaged, incomplete: idlm pull repairs or resumes it. " +
        "fetching: being downloaded by another process. unknown: not created by idlm pull; idlm remove deletes it.",
    )
    .option("--json", "print only an array of the models with their paths, as JSON")
    .addHelpText("after", examples("idlm list", "idlm list --json"))
    .action(async ({ json }: { readonly json?: boolean }) => {
      const models = await listModels();
      if (json) printJson(cli, models);
      else if (models.length > 0) cli.io.stdout.write(tableOf(models));
      else cli.io.notices.write("No models in the cache. Download one with idlm pull.\n");
    });
}

function tableOf(models: readonly ListedModel[]): string {
  const rows = models.map((model) => [model.name, megabytes(model.nBytes), model.state, originOf(model)]);
  const columns = [["NAME", "SIZE", "STATE", "FROM"], ...rows];
  const widths = [0, 1, 2].map((i) => Math.max(...columns.map((row) => row[i]?.length ?? 0)));
  const line = ([name = "", size = "", state = "", origin = ""]: readonly string[]) =>
    [name.padEnd(widths[0] ?? 0), size.padStart(widths[1] ?? 0), state.padEnd(widths[2] ?? 0), origin].join("  ");
  return columns.map((row) => `${line(row.map(escapeControls)).trimEnd()}\n`).join("");
}

function originOf({ source }: ListedModel): string {
  if (source === undefined) return "";
  if (source.kind === "pip") return `${source.packageName} ${source.version} (pip)`;
  return `${source.revision} (${source.commit.slice(0, 12)})`;
}
