import { type Command, Option } from "commander";
import { type BenchConditions, benchConditions, isFullWidth } from "../../bench/conditions.ts";
import { type Figures, type Measurement, measure, measurements } from "../../bench/figures.ts";
import { type LoadFigures, loadTimed, measureLoad } from "../../bench/load-figures.ts";
import { type BenchRoofs, measureBenchRoofs } from "../../bench/machine-roofs.ts";
import { Peer } from "../../bench/peer.ts";
import { billionGoals, type ReportLine, reportLines } from "../../bench/report.ts";
import { createNativeBackend } from "../../compute/native/index.ts";
import { openGguf } from "../../formats/gguf/gguf.ts";
import { addCommonOptions, type Cli, examples, printJson, writeJson } from "../cli.ts";
import { threadsOption } from "../options/generation-options.ts";
import { integer } from "../options/numbers.ts";
import { benchHeader, benchTable } from "../terminal/bench-table.ts";
import { withInterrupt } from "../terminal/interrupt.ts";
import { benchRoofsText } from "../terminal/roofs-table.ts";
import { LiveLine } from "../terminal/style.ts";

const kinds = ["load", ...measurements, "roofs"] as const;

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
  readonly roofs?: BenchRoofs;
  readonly table: readonly ReportLine[];
}

/** `idlm bench model`: measures any GGUF file. */
export function registerBenchModel(bench: Command, cli: Cli): void {
  addCommonOptions(bench.command("model"))
    .summary("measure any GGUF file, optionally next to llama.cpp")
    .description(
      "Measures a GGUF file: load time and resident memory, plain decoding and its share of the memory bandwidth, a prompt of 512 tokens, forwards of 1, 2, 5 and 8 rows after 256 and 4,096 tokens, and forwards of 1 to 32 rows beside the machine's two roofs; with --peer-python also llama.cpp on the same file, interleaved in the same run.",
    )
    .argument("<file>", "a GGUF file (see idlm bench make-model)")
    .addOption(threadsOption())
    .option("--rounds <n>", "interleaved rounds", integer({ min: 1, max: 1000 }), 5)
    .option("--tokens <n>", "tokens per round of plain decoding", integer({ min: 1, max: 4000 }), 64)
    .addOption(new Option("--measure <what...>", "what to measure").choices(kinds).default(kinds, "all"))
    .option("--peer-python <path...>", "Pythons with llama-cpp-python to compare with")
    .option("--out <file>", "also write the JSON to a file")
    .option("--json", "print only the results, as JSON")
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
      else cli.io.stdout.write(textOf(report));
    });
}

function textOf(report: BenchModelReport): string {
  const roofs = report.roofs === undefined ? "" : benchRoofsText(report.roofs);
  return `${benchHeader(report)}${benchTable(report.table)}${roofs}`;
}

async function run(cli: Cli, path: string, options: BenchModelOptions, signal: AbortSignal): Promise<BenchModelReport> {
  const { rounds, tokens: decodedTokens } = options;
  const backend = createNativeBackend(options.threads === undefined ? {} : { threads: options.threads });
  const { instructionSet, threads } = backend.info;
  const live = new LiveLine(cli.io, !options.json);
  const onStage = (text: string) => live.show(text);
  const pythons = options.peerPython ?? [];
  const startPeers = pythons.map((python, i) => () => Peer.start(python, path, threads, peerName(i, pythons.length)));
  const selected = new Set<string>(options.measure);
  const what = new Set<Measurement>(measurements.filter((name) => selected.has(name)));
  const peers: Peer[] = [];
  try {
    const load = selected.has("load")
      ? await measureLoad(backend, path, startPeers, { rounds, signal, onStage })
      : undefined;
    let figures: Figures = { peers: [] };
    let roofs: BenchRoofs | undefined;
    if (what.size > 0 || selected.has("roofs")) {
      const { model } = await loadTimed(backend, path);
      try {
        for (const start of startPeers) peers.push(await start());
        figures = await measure(backend, model, peers, { rounds, decodedTokens, what, signal, onStage });
        if (selected.has("roofs")) roofs = await measureBenchRoofs(backend, model, { rounds, signal, onStage });
      } finally {
        model.dispose();
      }
    }
    const goals = billionGoals(instructionSet, isFullWidth(), is8Bit(path));
    const table = reportLines(figures, goals, load);
    const parts = { ...(load !== undefined && { load }), ...figures, ...(roofs !== undefined && { roofs }) };
    return { ...benchConditions(backend.info), path, ...parts, table };
  } finally {
    live.clear();
    for (const peer of peers) peer.stop();
  }
}

function peerName(i: number, n: number): string {
  return n === 1 ? "llama.cpp" : `llama.cpp ${i + 1}`;
}

/** Whether most of the file's matrices have 8-bit types. */
function is8Bit(path: string): boolean {
  const file = openGguf(path);
  const types = [...file.tensors.values()].filter(({ shape }) => shape.length > 1).map(({ type }) => type);
  file.close();
  return types.filter((type) => type === "Q8_0").length * 2 > types.length;
}
