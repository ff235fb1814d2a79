import { type Command, Option } from "commander";
import { cpuName } from "../../bench/cores.ts";
import {
  type DecodeFigures,
  type DecodeMethod,
  type Drafter,
  measureDecoding,
  methodName,
} from "../../bench/decode.ts";
import { type DecodeReport, decodePage, type TimedFigures } from "../../bench/decode-page.ts";
import { KINDS, type Kind, readPrompts } from "../../bench/prompts.ts";
import { measureRowsAlone } from "../../bench/round-overhead.ts";
import { shapeNames, shapes } from "../../decoding/planners/shapes.ts";
import { load } from "../../engine/load/load.ts";
import { proposeValues } from "../../engine/request/round-options.ts";
import { IdlmError } from "../../errors.ts";
import { writeOutput } from "../../formats/files/write-output.ts";
import { addCommonOptions, type Cli, examples, printJson, writeJson } from "../cli.ts";
import { defaultAdapter, loadBareModel } from "../options/bare-model.ts";
import { threadsOption } from "../options/generation-options.ts";
import { decimal, integer } from "../options/numbers.ts";
import { withInterrupt } from "../terminal/interrupt.ts";
import { LiveLine, table } from "../terminal/style.ts";
import { RACE_MODEL } from "./race.ts";

interface DecodeOptions {
  readonly threads?: number;
  readonly drafters?: readonly string[];
  readonly shapes: readonly string[];
  readonly strides: readonly string[];
  readonly batch: readonly string[];
  readonly kinds: readonly string[];
  readonly prompts?: number;
  readonly pairs: number;
  readonly maxTokens: number;
  readonly temperature?: number;
  readonly cutRepeats?: boolean;
  readonly draftModel?: string;
  readonly adapter?: string;
  readonly rowsAlone?: boolean;
  readonly json?: boolean;
  readonly out?: string;
  readonly html?: string;
}

const drafterNames = proposeValues.filter((name) => name !== "none");

/** `idlm bench decode`: compares proposers, shapes, strides and batch sizes with plain decoding. */
export function registerBenchDecode(bench: Command, cli: Cli): void {
  addCommonOptions(bench.command("decode"))
    .summary("compare proposers, shapes, strides and batch sizes with plain decoding")
    .description(
      "Generates the same texts with plain decoding and with each proposer and shape, alternately, and prints tokens per forward, speed-up, overhead and acceptance by depth.",
    )
    .argument("[model]", "a model as in run", RACE_MODEL)
    .addOption(threadsOption())
    .option(
      "--drafters <name...>",
      `proposers: ${drafterNames.join(", ")} (default: mask lookup auto; without MASK rows lookup auto)`,
    )
    .addOption(
      new Option("--shapes <name...>", `shapes of rounds: ${shapeNames.join(", ")}`).default(shapeNames, "all"),
    )
    .addOption(new Option("--strides <n...>", "strides of the fixed shapes").default(["2", "4"], "2 4"))
    .addOption(new Option("--batch <n...>", "concurrent sequences").default(["1"], "1"))
    .addOption(new Option("--kinds <name...>", `kinds of prompts: ${KINDS.join(", ")}`).default([...KINDS], "all"))
    .option("--prompts <n>", "prompts of each kind (default: all)", integer({ min: 1, max: 1000 }))
    .option("--pairs <n>", "interleaved pairs; at least nine for figures to publish", integer({ min: 1, max: 1000 }), 9)
    .option("--max-tokens <n>", "tokens of the longest output", integer({ min: 1, max: 100_000 }), 96)
    .option("--temperature <t>", "temperature of all requests (default: the prompts', mostly 0)", decimal({ min: 0 }))
    .option("--cut-repeats", "end each output where a run of 12 tokens comes a second time")
    .option("--draft-model <model>", "model of the drafter draft")
    .option("--adapter <dir>", "adapter folder or ORG/REPO to use instead of the catalogue's")
    .option("--rows-alone", "also time forwards with the same rows and nothing else, for batch size 1")
    .option("--out <file>", "also write the JSON to a file")
    .option("--html <file>", "also write a page with pictures and tables to a file")
    .option("--json", "print only the results, as JSON")
    .addHelpText(
      "after",
      examples(
        "idlm bench decode --prompts 3 --pairs 3",
        "idlm bench decode --drafters mask auto --kinds chat code --batch 1 4 16",
        "idlm bench decode --threads 2 --out decode.json --html decode.html",
      ),
    )
    .action(async (model: string, options: DecodeOptions) => {
      const report = await withInterrupt(cli.io, (signal) => run(cli, model, options, signal));
      if (options.out !== undefined) writeJson(options.out, report);
      if (options.html !== undefined) writeOutput(options.html, [Buffer.from(decodePage(report))]);
      if (options.json) printJson(cli, report);
      else cli.io.stdout.write(textOf(report));
    });
}

async function run(cli: Cli, name: string, options: DecodeOptions, signal: AbortSignal): Promise<DecodeReport> {
  const kinds = options.kinds.map((kind) => choice("--kinds", kind, KINDS));
  // Wrong names are errors before anything is loaded.
  const methods = methodsOf(options);
  const batches = options.batch.map((batch) => integer({ min: 1, max: 256 })(batch));
  const live = new LiveLine(cli.io, !options.json);
  const { threads, adapter, draftModel } = options;
  const model = await load(name, { threads, adapter, draftModel, signal, maxSequences: Math.max(...batches) });
  try {
    const { pairs, maxTokens, temperature, cutRepeats = false } = options;
    const onStage = (text: string) => live.show(text);
    const isOffered = ({ drafter }: DecodeMethod) =>
      drafter !== "mask" || options.drafters !== undefined || (model.info.adapter?.depths ?? 0) > 0;
    const what = { methods: methods.filter(isOffered), batches, prompts: promptsOf(kinds, options) };
    const plan = { ...what, pairs, maxTokens, cutRepeats, signal, onStage };
    const decoded = await measureDecoding(model, plan);
    const figures = options.rowsAlone ? await withRowsAlone(cli, name, options, decoded, onStage, signal) : decoded;
    const { instructionSet, threads: used, numerics } = model.info.backend;
    const cpu = cpuName();
    const date = new Date().toISOString().slice(0, 10);
    const how = { pairs, maxTokens, cutRepeats, ...(temperature === undefined ? {} : { temperature }) };
    return { date, cpu, instructionSet, threads: used, numerics, model: name, ...how, figures };
  } finally {
    live.clear();
    await model.dispose();
  }
}

/** Adds `rowsAlone` to the figures of batch size 1. */
async function withRowsAlone(
  cli: Cli,
  name: string,
  options: DecodeOptions,
  figures: readonly DecodeFigures[],
  onStage: (text: string) => void,
  signal: AbortSignal,
): Promise<TimedFigures[]> {
  const { model } = await loadBareModel(cli.io, name, { ...options, ...defaultAdapter(name, options.adapter) }, signal);
  try {
    const single = figures.filter(({ batch }) => batch === 1);
    const onRound = (round: number, of: number) => onStage(`timing rows alone, round ${round} of ${of}`);
    const rowsAlone = await measureRowsAlone(model, single, signal, onRound);
    return figures.map((figure) => {
      const found = rowsAlone[single.indexOf(figure)];
      return found === undefined ? figure : { ...figure, rowsAlone: found };
    });
  } finally {
    model.dispose();
  }
}

function promptsOf(kinds: readonly Kind[], { prompts: count, temperature }: DecodeOptions) {
  const given = temperature === undefined ? {} : { temperature };
  const all = readPrompts().map((prompt) => ({ ...prompt, ...given }));
  return kinds.flatMap((kind) => all.filter((prompt) => prompt.kind === kind).slice(0, count));
}

/** Plain decoding first. The drafter "auto" has no fixed shape, and shapes that are not fixed have no stride. */
function methodsOf({ drafters = ["mask", "lookup", "auto"], shapes: names, strides }: DecodeOptions): DecodeMethod[] {
  const methods: DecodeMethod[] = [{ drafter: "none", shape: undefined, stride: undefined }];
  const numbers = strides.map((stride) => integer({ min: 2, max: 8 })(stride));
  for (const drafter of drafters.map((one): Drafter => choice("--drafters", one, drafterNames))) {
    for (const shape of names.map((one) => choice("--shapes", one, shapeNames))) {
      if (!shapes[shape].isFixed) methods.push({ drafter, shape, stride: undefined });
      // Some shapes are chains without MASK rows.
      else if (drafter !== "auto" && (drafter === "mask" || !shapes[shape].needsMaskRows)) {
        methods.push(...numbers.map((stride) => ({ drafter, shape, stride })));
      }
    }
  }
  return methods;
}

function choice<T extends string>(option: string, value: string, choices: readonly T[]): T {
  const found = choices.find((one) => one === value);
  if (found !== undefined) return found;
  throw new IdlmError("usage", { problem: `${option}: unknown ${value}`, hint: `Choose from ${choices.join(", ")}.` });
}

function textOf({
  date,
  cpu,
  instructionSet,
  threads,
  numerics,
  model,
  pairs,
  maxTokens,
  temperature,
  cutRepeats,
  figures,
}: DecodeReport): string {
  const drawn = `${temperature === undefined ? "" : `, temperature ${temperature}`}${cutRepeats ? ", repeats cut" : ""}`;
  const header = `${model}, ${cpu}, ${instructionSet}, ${threads} threads, numerics ${numerics}, ${date}\n${pairs} interleaved pairs, outputs of up to ${maxTokens} tokens${drawn}\n\n`;
  const rows = figures.map((figure) => {
    const { median, low, high } = figure.speedUp;
    return [
      `${figure.batch}`,
      figure.kind,
      methodName(figure),
      `${median.toFixed(2)} x (${low.toFixed(2)}–${high.toFixed(2)})`,
      `${figure.tokensPerSecond.toFixed(0)}`,
      figure.tokensPerForward.toFixed(2),
      figure.overhead.toFixed(2),
      figure.rowsAlone?.toFixed(2) ?? "",
      `${figure.tokenRows.toFixed(1)} + ${figure.maskRows.toFixed(1)}`,
      figure.acceptanceByDepth.map((share) => share.toFixed(2)).join(" "),
      `${(100 * figure.repeatedShare).toFixed(0)} %`,
      figure.isSameText ? "" : "OTHER BYTES",
    ];
  });
  const head = [
    "batch",
    "prompts",
    "method",
    "speed-up (95 %)",
    "tokens/s",
    "TPF",
    "OH",
    figures.some(({ rowsAlone }) => rowsAlone !== undefined) ? "rows alone" : "",
    "rows + MASK",
    "acceptance",
    "in repeats",
    "",
  ];
  return header + table([head, ...rows]);
}
