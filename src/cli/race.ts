import type { Command } from "commander";
import { type GenerationResult, load, type Model } from "../index.ts";
import { addCommonOptions, type Cli, examples, printJson } from "./cli.ts";
import { adapterOption, backendOption, maxTokensOption, strideOption, threadsOption } from "./generation-options.ts";
import { INTERRUPTED, withInterrupt } from "./interrupt.ts";
import { write } from "./io.ts";
import { integer } from "./numbers.ts";
import { BYTES_DIFFER, type Competitor, median, raceTable, speedOf, summary } from "./race-table.ts";
import { colorsFor, LiveLine } from "./style.ts";

interface RaceOptions {
  readonly adapter?: string;
  readonly backend?: "native" | "reference";
  readonly maxTokens: number;
  readonly prompt: string;
  readonly rounds: number;
  readonly stride?: number;
  readonly threads?: number;
  readonly json?: boolean;
}

export const RACE_MODEL = "smollm2-135m-instruct";

/** Long enough an answer to settle on a speed, and about something that everybody can judge. */
const QUESTION = "Explain in a few sentences why the sky is blue during the day and red in the evening.";

/** `idlm race`: the same answer twice, plainly and with several proposals checked per forward. */
export function registerRace(program: Command, cli: Cli): void {
  addCommonOptions(program.command("race [model]"))
    .summary("watch a model answer plainly and with proposals, and compare")
    .description(
      "Lets a model answer the same question plainly (a token per forward) and with several proposals checked per\n" +
        "forward, by turns, and compares speeds and bytes. MODEL is a catalogue name, a GGUF file or a Hugging Face\n" +
        `folder; ${RACE_MODEL}, fetched if need be, where none is named.`,
    )
    .option("--prompt <text>", "the question", QUESTION)
    .addOption(maxTokensOption().default(160))
    .addOption(strideOption())
    .option("--rounds <n>", "turns of each", integer({ min: 1, max: 100 }), 3)
    .addOption(adapterOption())
    .addOption(threadsOption())
    .addOption(backendOption())
    .option("--json", "print the figures as JSON and nothing else")
    .addHelpText("after", examples("idlm race", 'idlm race --prompt "Write a limerick about a cat." --rounds 5', "idlm race model.gguf --json"))
    .action(async (name: string | undefined, options: RaceOptions) => {
      cli.status = await withInterrupt(cli.io, (signal) => race(cli, name ?? RACE_MODEL, options, signal));
    });
}

async function race(cli: Cli, name: string, options: RaceOptions, signal: AbortSignal): Promise<number> {
  const { io } = cli;
  const model = await loadModel(io, name, options, signal);
  const live = new LiveLine(io, !options.json);
  const plain: Competitor = { name: "plain", laps: [] };
  const proposing: Competitor = { name: "proposing", laps: [] };
  const colors = colorsFor(io, io.stdout);
  try {
    if (!options.json) await write(io.stdout, `${colors.bold(name)}: ${options.prompt}\n`);
    for (let round = 1; round <= options.rounds; round++) {
      for (const competitor of [plain, proposing]) {
        // The first round shows both texts; later ones only sharpen the speeds.
        const shown = round === 1 && !options.json;
        if (shown) await write(io.stdout, `\n${colors.cyan(competitor.name)}\n`);
        const lap = await runLap(cli, model, competitor, options, signal, { shown, live, round });
        if (signal.aborted) break;
        competitor.laps.push(lap);
      }
      if (signal.aborted) break;
    }
  } finally {
    live.clear();
    await model.dispose();
  }
  ...
}
