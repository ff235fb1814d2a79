import { basename, join, resolve } from "node:path";
import type { Command } from "commander";
import { cacheFolder } from "../../hub/store/cache-folder.ts";
import { make } from "../../making/make.ts";
import { makeDefaults } from "../../making/settings.ts";
import { addCommonOptions, type Cli, examples } from "../cli.ts";
import { programVersions } from "../options/program-versions.ts";
import { backendOption, threadsOption } from "../options/generation-options.ts";
import { decimal, integer } from "../options/numbers.ts";
import { INTERRUPTED, withInterrupt } from "../terminal/interrupt.ts";
import { MakeProgress } from "../terminal/make-progress.ts";

interface MakeOptions {
  readonly hours?: number;
  readonly out?: string;
  readonly prompts?: string;
  readonly seed?: number;
  readonly threads?: number;
  readonly backend?: "native" | "reference";
  readonly nice: boolean;
  readonly json?: boolean;
}

/** A year. */
const MAX_HOURS = 8760;

/** `idlm make`: from a model to a trained, verified and measured adapter. */
export function registerMake(program: Command, cli: Cli): void {
  addCommonOptions(program.command("make"))
    .summary("make an adapter for a model: write text, train, verify, measure")
    .description(
      "Makes an adapter that lets a model decode faster with the same bytes: measures the machine, has the model write " +
        "training text, tries settings, trains, verifies that the output stays the same, measures decoding, and writes a " +
        "report. Stop it whenever you like: run the same command again and it goes on.",
    )
    .argument("<model>", "a model as in run; it needs a chat template")
    .option(
      "--hours <h>",
      `hours of work for everything (default: ${makeDefaults.hours})`,
      decimal({ min: 0, max: MAX_HOURS, above: true }),
    )
    .option("--out <dir>", "folder for adapter, report and all else (default: made/MODEL in the cache)")
    .option(
      "--prompts <file>",
      "have the model answer these prompts, as in write; best are prompts like those of its use",
    )
    .option(
      "--seed <n>",
      `seed of all random choices (default: ${makeDefaults.seed})`,
      integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    )
    .addOption(threadsOption())
    .addOption(backendOption())
    .option("--no-nice", "run at normal priority; by default other programs go first")
    .option("--json", "print a JSON line for the plan, for stages, for progress, and for the result")
    .addHelpText(
      "after",
      examples(
        "idlm make smollm2-135m-instruct --hours 1",
        "idlm make Qwen/Qwen3-0.6B-GGUF:Q8_0 --hours 12 --out qwen3 --prompts questions.jsonl",
        "idlm make model.gguf --no-nice --threads 8 --json",
      ),
    )
    .action(async (name: string, options: MakeOptions) => {
      cli.status = await withInterrupt(cli.io, (signal) => run(cli, name, options, signal));
    });
}

async function run(cli: Cli, name: string, options: MakeOptions, signal: AbortSignal): Promise<number> {
  const { hours, seed, prompts, threads, backend, nice } = options;
  const out = resolve(options.out ?? defaultFolder(name));
  if (nice) cli.io.lowerPriority();
  const progress = new MakeProgress(cli, name, options.json === true);
  try {
    const result = await make({
      ...{ model: name, out, hours, seed, prompts, threads, backend, program: programVersions(), signal },
      commands: [`run ${name} "…"`, `serve ${name}`, `race ${name}`].map(
        (command) => `idlm ${command} --adapter adapter`,
      ),
      onEvent: (event) => progress.show(event),
    });
    progress.finish(result);
    return 0;
  } catch (error) {
    progress.end();
    if (!signal.aborted) throw error;
    progress.stopped(out);
    return INTERRUPTED;
  }
}

/** A folder in the cache, by the model's name. */
function defaultFolder(name: string): string {
  const label = basename(name).replaceAll(/[^\w.-]+/g, "-");
  return join(cacheFolder(), "made", label);
}
