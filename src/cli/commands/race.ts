import type { Command } from "commander";
import { IdlmError } from "../../errors.ts";
import { includedModel } from "../../hub/index.ts";
import type { GenerationResult, Model } from "../../index.ts";
import { addCommonOptions, type Cli, examples, printJson } from "../cli.ts";
import {
  adapterOption,
  backendOption,
  maxTokensOption,
  strideOption,
  threadsOption,
} from "../options/generation-options.ts";
import { integer } from "../options/numbers.ts";
import { loadModel } from "../options/requests.ts";
import { INTERRUPTED, withInterrupt } from "../terminal/interrupt.ts";
import { type CliIo, write } from "../terminal/io.ts";
import { racePicture } from "../terminal/race-picture.ts";
import { type Competitor, figures, raceTable, type Step, sameBytes, speedOf } from "../terminal/race-table.ts";
import { colorsFor, LiveLine } from "../terminal/style.ts";

interface RaceOptions {
  readonly adapter?: string;
  readonly backend?: "native" | "reference";
  readonly maxTokens: number;
  readonly prompt?: string;
  readonly rounds: number;
  readonly stride?: number;
  readonly threads?: number;
  readonly json?: boolean;
}

export const RACE_MODEL = "smollm2-135m-instruct";

/** The answer is long enough to measure speed, ends by itself, and is easy to judge. */
const QUESTION = "Give me three tips for staying healthy.";
/** One that the included model was trained for. */
const QUESTION_FOR_INCLUDED = "Tell me about the cat in two short sentences.";

/** `idlm race`: plain decoding against decoding with proposals. */
export function registerRace(program: Command, cli: Cli): void {
  addCommonOptions(program.command("race"))
    .summary("race plain decoding against decoding with proposals")
    .description(
      "Generates an answer to the same question with plain decoding (one token per forward) and with proposals, " +
        "alternately, and compares speed and bytes.",
    )
    .argument(
      "[model]",
      `a model as in run (default: ${RACE_MODEL}; where it cannot be downloaded, the tiny model of this package)`,
    )
    .option("--prompt <text>", `the question (default: "${QUESTION}")`)
    .addOption(maxTokensOption().default(160))
    .addOption(strideOption())
    .option("--rounds <n>", "runs of each", integer({ min: 1, max: 100 }), 3)
    .addOption(adapterOption())
    .addOption(threadsOption())
    .addOption(backendOption())
    .option("--json", "print only the results, as JSON")
    .addHelpText(
      "after",
      examples(
        "idlm race",
        'idlm race --prompt "Write a limerick about a cat." --rounds 5',
        "idlm race model.gguf --json",
      ),
    )
    .action(async (name: string | undefined, options: RaceOptions) => {
      cli.status = await withInterrupt(cli.io, (signal) => race(cli, name, options, signal));
    });
}

/** A race's model and question. */
interface Track {
  readonly model: Model;
  readonly name: string;
  readonly prompt: string;
}

/** Loads the named model or the default, and without a way to get that the included one; says which, and why. */
async function loadTrack(
  io: CliIo,
  name: string | undefined,
  options: RaceOptions,
  signal: AbortSignal,
): Promise<Track> {
  const prompt = options.prompt ?? QUESTION;
  if (name !== undefined) return { model: await loadModel(io, name, options, signal), name, prompt };
  try {
    const model = await loadModel(io, RACE_MODEL, options, signal);
    io.notices.write(`Model: ${RACE_MODEL}, since none was named.\n`);
    return { model, name: RACE_MODEL, prompt };
  } catch (error) {
    const isUnavailable = error instanceof IdlmError && error.code === "download";
    if (!isUnavailable || options.adapter !== undefined) throw error;
    const included = includedModel();
    const model = await loadModel(io, included.model, { ...options, adapter: included.adapter }, signal);
    io.notices.write(`${error.message}\nModel: the tiny one of this package, since ${RACE_MODEL} cannot be had.\n`);
    return { model, name: "tiny", prompt: options.prompt ?? QUESTION_FOR_INCLUDED };
  }
}

async function race(cli: Cli, asked: string | undefined, given: RaceOptions, signal: AbortSignal): Promise<number> {
  const { io } = cli;
  const { model, name, prompt } = await loadTrack(io, asked, given, signal);
  const options = { ...given, prompt };
  const plain: Competitor<RaceLap> = { name: "plain", laps: [] };
  const proposing: Competitor<RaceLap> = { name: "proposing", laps: [] };
  try {
    if (!options.json) await write(io.stdout, `${prompt}\n`);
    for (let round = 1; round <= options.rounds; round++) {
      // The order alternates, so that a machine that changes speed favours neither.
      for (const competitor of round % 2 === 1 ? [plain, proposing] : [proposing, plain]) {
        const lap = await runLap(io, model, competitor, round, options, signal);
        // The speed of an interrupted lap is meaningless.
        if (signal.aborted) break;
        competitor.laps.push(lap);
      }
      if (signal.aborted) break;
    }
  } finally {
    await model.dispose();
  }
  const same = sameBytes([plain, proposing]);
  const complete = plain.laps.length > 0 && proposing.laps.length > 0;
  if (options.json) printJson(cli, jsonOf(name, options, plain, proposing));
  else if (complete) {
    const picture = racePicture([plain, proposing], colorsFor(io, io.stdout));
    io.stdout.write(`\n${picture}${picture && "\n"}${raceTable(plain, proposing)}`);
  }
  if (signal.aborted) return INTERRUPTED;
  if (!same) throw new IdlmError("bytes-differ", { what: "plain and proposing" });
  return 0;
}

/** A generation and the times of its forwards. */
type RaceLap = GenerationResult & { readonly steps: readonly Step[] };

async function runLap(
  io: CliIo,
  model: Model,
  competitor: Competitor<RaceLap>,
  round: number,
  options: RaceOptions & { readonly prompt: string },
  signal: AbortSignal,
): Promise<RaceLap> {
  const { prompt, maxTokens, stride, rounds, json } = options;
  // The first round prints both texts; later rounds only measure speed.
  const shown = round === 1 && !json;
  const colors = colorsFor(io, io.stdout);
  const live = new LiveLine(io, !shown && !json);
  const generation = model.generate({
    messages: [{ role: "user", content: prompt }],
    maxTokens,
    propose: competitor.name === "plain" ? "none" : "auto",
    stride: competitor.name === "plain" ? undefined : stride,
    signal,
  });
  if (shown) await write(io.stdout, `\n${colors.bold(competitor.name)}\n`);
  const startMs = performance.now();
  let text = "";
  let nTokens = 0;
  const steps: Step[] = [];
  let firstMs: number | undefined;
  // One digit per round: the number of its proposals.
  let choices = "";
  for await (const part of generation) {
    text += part.text;
    if (part.round !== undefined) choices += Math.min(9, part.round.proposals);
    nTokens += part.tokens.length;
    const nowMs = performance.now();
    if (firstMs !== undefined && part.round !== undefined)
      steps.push({ endMs: nowMs - firstMs, tokens: part.tokens.length });
    firstMs ??= nowMs;
    if (shown) await write(io.stdout, part.text);
    else live.show(liveText(competitor.name, round, rounds, nTokens, performance.now() - startMs, text));
  }
  live.clear();
  const result = await generation.result;
  if (shown) {
    const speed = `${result.tokens.length} tokens in ${result.forwards} forwards, ${speedOf(result).toFixed(1)} tokens/s`;
    await write(io.stdout, `${text.endsWith("\n") ? "" : "\n"}${colors.dim(`[${speed}]`)}\n`);
    if (competitor.name === "proposing") {
      await write(io.stdout, `${colors.dim(`[proposals per forward: ${shortened(choices)}]`)}\n`);
    }
  }
  return { ...result, steps };
}

/** Most rounds shown in the line of proposals: it has 80 columns. */
const SHOWN_ROUNDS = 54;

function shortened(choices: string): string {
  return choices.length > SHOWN_ROUNDS ? `${choices.slice(0, SHOWN_ROUNDS)}…` : choices;
}

function liveText(
  name: string,
  round: number,
  rounds: number,
  nTokens: number,
  elapsedMs: number,
  text: string,
): string {
  const speed = elapsedMs > 0 ? (nTokens / elapsedMs) * 1000 : 0;
  return `${name.padEnd(9)} ${round}/${rounds}  ${String(nTokens).padStart(4)} tokens  ${speed.toFixed(0).padStart(4)}/s  …${text.slice(-40)}`;
}

function jsonOf(
  name: string,
  options: RaceOptions & { readonly prompt: string },
  plain: Competitor<RaceLap>,
  proposing: Competitor<RaceLap>,
) {
  const [a, b] = [figures(plain), figures(proposing)];
  const last = proposing.laps.at(-1) ?? plain.laps.at(-1);
  return {
    model: name,
    prompt: options.prompt,
    maxTokens: options.maxTokens,
    rounds: Math.min(plain.laps.length, proposing.laps.length),
    sameBytes: sameBytes([plain, proposing]),
    ratio: a.tokensPerSecond > 0 ? b.tokensPerSecond / a.tokensPerSecond : 0,
    plain: a,
    proposing: b,
    text: last?.text ?? "",
    instructionSet: last?.instructionSet,
    threads: last?.threads,
    numerics: last?.numerics,
  };
}
