import { type Command, Option } from "commander";
import { type Figures, type Measurement, measure, measurements } from "../../bench/figures.ts";
import { type LoadFigures, loadTimed, measureLoad } from "../../bench/load-figures.ts";
import { Peer } from "../../bench/peer.ts";
import { billionGoals, type ReportLine, reportLines } from "../../bench/report.ts";
import { createNativeBackend } from "../../compute/native/index.ts";
import { openGguf } from "../../formats/gguf/gguf.ts";
import { type BenchConditions, benchConditions, headerOf, isFullWidth, tableOf } from "./bench-conditions.ts";
import { addCommonOptions, type Cli, examples, printJson, writeJson } from "../cli.ts";
import { threadsOption } from "../options/generation-options.ts";
import { withInterrupt } from "../terminal/interrupt.ts";
import { integer } from "../options/numbers.ts";
import { LiveLine } from "../terminal/style.ts";

const kinds = ["load", ...measurements] as const;

interface BenchModelOptions {
  readonly threads?: number;
  readonly rounds: number;
  readonly tokens: number;
  readonly measure: readonly (typeof kinds)[number][];
  readonly peerPython?: readonly string[];
  readonly json?: boolean;
  readonly out?: string;
}

/** What `idlm bench model --json` prints. */
interface BenchModelReport extends BenchConditions, Figures {
  readonly path: string;
  readonly load?: LoadFigures;
  readonly table: readonly ReportLine[];
}

/** `idlm bench model`: the figures of any GGUF file. */
export function registerBenchModel(bench: Command, cli: Cli): void {
  addCommonOptions(bench.command("model"))
    .summary("measure any GGUF file, beside llama.cpp on the same file")
    .description(
      "Measures a GGUF file: load and resident memory, plain decoding and its share of the read bandwidth, a prompt of 512 tokens, forwards of 1, 2, 5 and 8 rows after 256 and 4,096 tokens; and llama.cpp on the same file in the same run, interleaved.",
    )
    .argument("<file>", "a GGUF file (idlm bench make-model writes some)")
    .addOption(threadsOption())
    .option("--rounds <n>", "interleaved rounds", integer({ min: 1, max: 1000 }), 5)
    .option("--tokens <n>", "tokens of a round of plain decoding", integer({ min: 1, max: 4000 }), 64)
    .addOption(new Option("--measure <what...>", "what to measure").choices(kinds).default(kinds, "all"))
    .option("--peer-python <path...>", "Pythons with llama-cpp-python, to compare with")
    .option("--out <file>", "also write the JSON to a file")
    .option("--json", "print the figures as JSON and nothing else")
    .addHelpText(
      "after",
      examples(
        "idlm bench model 1b.gguf --peer-python venv/bin/python",
        "idlm bench model 1b.gguf --measure decode prefill --rounds 9 --json",
      ),
    )
    .action(async (path: string, options: BenchModelOptions) => {
      const report = await withInterrupt(cli.io, (signal) => run(cli, path, options, signal));
      if (options.out !== undefined) writeJson(options.out, report);
      if (options.json) printJson(cli, report);
      else cli.io.stdout.write(`${headerOf(report)}${tableOf(report.table)}`);
    });
}

async function run(cli: Cli, path: string, options: BenchModelOptions, signal: AbortSignal): Promise<BenchModelReport> {
  const { rounds, tokens: decodedTokens } = options;
  const backend = createNativeBackend(options.threads === undefined ? {} : { threads: options.threads });
  const { instructionSet, threads } = backend.info;
  const live = new LiveLine(cli.io, !options.json);
  const onStage = (text: string) => live.show(text);
  const pythons = options.peerPython ?? [];
  const startPeers = pythons.map((python, i) => () => Peer.start(python, path, threads, peerName(i, pythons.length)));
  const wanted = new Set<string>(options.measure);
  const what = new Set<Measurement>(measurements.filter((name) => wanted.has(name)));
  const peers: Peer[] = [];
  try {
    const load = wanted.has("load")
      ? await measureLoad(backend, path, startPeers, { rounds, signal, onStage })
      : undefined;
    let figures: Figures = { peers: [] };
    if (what.size > 0) {
      const { model } = await loadTimed(backend, path);
      try {
        for (const start of startPeers) peers.push(await start());
        figures = await measure(backend, model, peers, { rounds, decodedTokens, what, signal, onStage });
      } finally {
        model.dispose();
      }
    }
    const goals = billionGoals(instructionSet, isFullWidth(), is8Bit(path));
    const table = reportLines(figures, goals, load);
    return { ...benchConditions(backend.info), path, ...(load !== undefined && { load }), ...figures, table };
  } finally {
    live.clear();
    for (const peer of peers) peer.stop();
  }
}

function peerName(i: number, n: number): string {
  return n === 1 ? "llama.cpp" : `llama.cpp ${i + 1}`;
}

/** Whether most of the file's matrices are of eight bits. */
function is8Bit(path: string): boolean {
  const file = openGguf(path);
  const types = [...file.tensors.values()].filter(({ shape }) => shape.length > 1).map(({ type }) => type);
  file.close();
  return types.filter((type) => type === "Q8_0").length * 2 > types.length;
}
