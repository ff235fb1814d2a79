import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { type BatchFigures, measureBatch } from "../../bench/batch-figures.ts";
import { type BenchConditions, benchConditions, isFullWidth } from "../../bench/conditions.ts";
import { type Figures, measure, measurements } from "../../bench/figures.ts";
import { type BenchRoofs, measureBenchRoofs } from "../../bench/machine-roofs.ts";
import { Peer } from "../../bench/peer.ts";
import { type ReportLine, reportLines, smallModelGoals } from "../../bench/report.ts";
import { median } from "../../bench/statistics.ts";
import { createNativeBackend } from "../../compute/native/index.ts";
import { load } from "../../engine/load/load.ts";
import type { GenerateRequest, Model } from "../../engine/types.ts";
import { compileProgram } from "../../model/compile.ts";
import { openModel } from "../../model/open/open-model.ts";
import { addCommonOptions, type Cli, examples, printJson, writeJson } from "../cli.ts";
import { threadsOption } from "../options/generation-options.ts";
import { integer } from "../options/numbers.ts";
import { benchHeader, benchTable } from "../terminal/bench-table.ts";
import { withInterrupt } from "../terminal/interrupt.ts";
import { benchRoofsText } from "../terminal/roofs-table.ts";
import { LiveLine, table } from "../terminal/style.ts";
import { registerBenchDecode } from "./bench-decode.ts";
import { registerMakeModel } from "./bench-make-model.ts";
import { registerBenchModel } from "./bench-model.ts";
import { resolveWithProgress } from "./pull.ts";
import { RACE_MODEL } from "./race.ts";

interface BenchOptions {
  readonly threads?: number;
  readonly rounds: number;
  readonly peerPython?: readonly string[];
  readonly peerModel?: string;
  readonly json?: boolean;
  readonly out?: string;
}

/** What `idlm bench --json` prints. */
interface BenchReport extends BenchConditions, Figures {
  readonly roofs: BenchRoofs;
  readonly table: readonly ReportLine[];
  readonly proposing: readonly ProposingFigures[];
  readonly batch: BatchFigures;
}

interface ProposingFigures {
  readonly stride: number;
  readonly shape: "chain" | "quadratic";
  /** Ratio of plain decoding's time per token to this one's: the median over rounds. */
  readonly speedUp: number;
  readonly tokensPerForward: number;
  readonly isSameText: boolean;
}

const DECODED_TOKENS = 200;

/** Different kinds of questions. */
const QUESTIONS: readonly string[] = [
  "What is a good name for a small boat?",
  "Give me three tips for staying healthy.",
  "Explain how photosynthesis works.",
  "Write a Python function that reverses a list.",
];

/** `idlm bench`: the measurements behind the published figures. */
export function registerBench(program: Command, cli: Cli): void {
  const bench = addCommonOptions(program.command("bench"));
  bench
    .enablePositionalOptions()
    .summary("measure speed, optionally next to llama.cpp")
    .description(
      `Measures ${RACE_MODEL}: plain decoding, prefill, forwards by number of rows, also beside the machine's two roofs, rounds with proposals, and concurrent sequences; with --peer-python also llama.cpp on the same file, interleaved in the same run.`,
    )
    .addOption(threadsOption())
    .option("--rounds <n>", "interleaved rounds", integer({ min: 1, max: 1000 }), 9)
    .option("--peer-python <path...>", "Pythons with llama-cpp-python to compare with")
    .option("--peer-model <file>", "another GGUF file, run by the first Python as a further peer (for example Q4_0)")
    .option("--out <file>", "also write the JSON to a file")
    .option("--json", "print only the results, as JSON")
    .addHelpText(
      "after",
      examples("idlm bench", "idlm bench --threads 2 --peer-python venv/bin/python", "IDLM_ISA=avx2 idlm bench --json"),
    )
    .action(async (options: BenchOptions) => {
      const report = await withInterrupt(cli.io, (signal) => run(cli, options, signal));
      if (options.out !== undefined) writeJson(options.out, report);
      if (options.json) printJson(cli, report);
      else cli.io.stdout.write(textOf(report));
    });
  registerBenchModel(bench, cli);
  registerMakeModel(bench, cli);
  registerBenchDecode(bench, cli);
}

async function run(cli: Cli, options: BenchOptions, signal: AbortSignal): Promise<BenchReport> {
  const { path } = await resolveWithProgress(cli.io, RACE_MODEL, signal);
  const backend = createNativeBackend(options.threads === undefined ? {} : { threads: options.threads });
  const { instructionSet, threads } = backend.info;
  const live = new LiveLine(cli.io, !options.json);
  const opened = openModel(path, "gguf");
  const model = await backend.load(compileProgram(opened));
  opened.close();
  const peers: Peer[] = [];
  const folder = mkdtempSync(join(tmpdir(), "idlm-bench-"));
  try {
    for (const [i, python] of (options.peerPython ?? []).entries()) {
      peers.push(await Peer.start(python, path, threads, `llama.cpp ${i + 1}`));
    }
    const [first] = options.peerPython ?? [];
    if (first !== undefined) {
      // llama.cpp's fastest 4-bit type, from its own quantiser.
      const q40 = options.peerModel ?? (await peers[0]?.ask({ op: "quantise", to: join(folder, "q4_0.gguf") }))?.path;
      if (q40 !== undefined) peers.push(await Peer.start(first, q40, threads, "llama.cpp 1, Q4_0 file"));
    }
    const figures = await measure(backend, model, peers, {
      rounds: options.rounds,
      decodedTokens: DECODED_TOKENS,
      what: new Set(measurements),
      signal,
      onStage: (text) => live.show(text),
    });
    const roofs = await measureBenchRoofs(backend, model, { signal, onStage: (text) => live.show(text) });
    model.dispose();
    live.show("rounds with proposals");
    const proposing = await measureProposing(options, signal);
    live.show("batched decoding");
    const batch = await measureBatched(options, peers, signal);
    return {
      ...benchConditions(backend.info),
      ...figures,
      roofs,
      table: reportLines(figures, smallModelGoals(instructionSet, isFullWidth())),
      proposing,
      batch,
    };
  } finally {
    live.clear();
    for (const peer of peers) peer.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Batch size, also of llama.cpp. */
const SEQUENCES = 16;

async function measureBatched(options: BenchOptions, peers: readonly Peer[], signal: AbortSignal) {
  const threads = options.threads === undefined ? {} : { threads: options.threads };
  const model = await load(RACE_MODEL, { ...threads, maxSequences: SEQUENCES, context: 1024 });
  try {
    return await measureBatch(model, peers, SEQUENCES, options.rounds, signal);
  } finally {
    await model.dispose();
  }
}

/** Plain decoding and rounds with proposals, interleaved on every question. */
async function measureProposing(options: BenchOptions, signal: AbortSignal): Promise<ProposingFigures[]> {
  const model = await load(RACE_MODEL, options.threads === undefined ? {} : { threads: options.threads });
  try {
    const shapes = [
      { stride: 2, shape: "chain" },
      { stride: 3, shape: "chain" },
      { stride: 4, shape: "chain" },
      { stride: 2, shape: "quadratic" },
      { stride: 3, shape: "quadratic" },
    ] as const;
    const results = shapes.map(() => ({ ratios: [] as number[], tokens: 0, forwards: 0, isSame: true }));
    for (let round = 0; round < Math.max(3, Math.ceil(options.rounds / 2)); round++) {
      for (const question of QUESTIONS) {
        signal.throwIfAborted();
        for (const [i, shape] of shapes.entries()) {
          const plain = await answer(model, question, { propose: "none" });
          const proposing = await answer(model, question, { propose: "mask", ...shape });
          const result = results[i] as (typeof results)[number];
          result.ratios.push(plain.msPerToken / proposing.msPerToken);
          result.tokens += proposing.drawn;
          result.forwards += proposing.forwards;
          result.isSame &&= plain.sha256 === proposing.sha256;
        }
      }
    }
    return shapes.map((shape, i) => {
      const { ratios, tokens, forwards, isSame } = results[i] as (typeof results)[number];
      return { ...shape, speedUp: median(ratios), tokensPerForward: tokens / forwards, isSameText: isSame };
    });
  } finally {
    await model.dispose();
  }
}

async function answer(model: Model, question: string, options: GenerateRequest) {
  const messages = [{ role: "user", content: question }] as const;
  const { tokens, decodeMs, sha256, forwards, tokensPerForward } = await model.generate({
    ...options,
    messages,
    maxTokens: 128,
  }).result;
  return { msPerToken: decodeMs / tokens.length, sha256, forwards, drawn: forwards * tokensPerForward };
}

function textOf(report: BenchReport): string {
  const rounds = report.proposing.map(({ stride, shape, speedUp, tokensPerForward, isSameText }) => [
    `stride ${stride}, ${shape}`,
    `${speedUp.toFixed(2)} x plain`,
    `${tokensPerForward.toFixed(2)} tokens per forward`,
    isSameText ? "same bytes" : "OTHER BYTES",
  ]);
  const { sequences, one, together, speedUp, peers } = report.batch;
  const batch = [
    [`batch of ${sequences}`, `${together.toFixed(1)} tokens/s`, `${speedUp.toFixed(2)} x batch 1 (${one.toFixed(1)})`],
    ...peers.map((peer) => [
      `  ${peer.name}`,
      `${peer.together.toFixed(1)} tokens/s`,
      `${peer.ratio.toFixed(2)} x faster`,
    ]),
  ];
  return `${benchHeader(report)}${benchTable(report.table)}\n${table(rounds)}\n${table(batch)}${benchRoofsText(report.roofs)}`;
}
