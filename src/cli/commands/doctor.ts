import { availableParallelism, cpus } from "node:os";
import type { Command } from "commander";
import { type ForwardTimes, measureForwards } from "../../bench/forward-times.ts";
import { createNativeBackend, supportedInstructionSets } from "../../compute/native/index.ts";
import { type Parameter, tokenMatrices } from "../../compute/program/program.ts";
import { errorCatalogue, IdlmError } from "../../errors.ts";
import { byteLength } from "../../formats/tensor/tensor-type.ts";
import { resolveModel } from "../../hub/index.ts";
import { addCommonOptions, type Cli, examples, printJson } from "../cli.ts";
import { defaultAdapter, loadBareModel } from "../options/bare-model.ts";
import { adapterOption, threadsOption } from "../options/generation-options.ts";
import { withInterrupt } from "../terminal/interrupt.ts";
import { LiveLine, table } from "../terminal/style.ts";
import { RACE_MODEL } from "./race.ts";

interface DoctorOptions {
  readonly adapter?: string;
  readonly threads?: number;
  readonly json?: boolean;
}

/** Larger than any last-level cache, so that memory is measured. */
const BANDWIDTH_BYTES = 512 * 2 ** 20;

/** What `idlm doctor --json` prints. */
interface Report {
  readonly cpu: string;
  readonly cores: number;
  readonly node: string;
  /** Undefined if the native backend is not available; `problem` says why. */
  readonly native?: {
    readonly instructionSet: string;
    /** Supported by this CPU, best first. */
    readonly instructionSets: readonly string[];
    readonly threads: number;
    readonly numerics: number;
    readonly bandwidthGBs: number;
    /** 8-bit products per second out of registers. */
    readonly productsPerSecond: number;
  };
  readonly problem?: string;
  readonly model?: {
    readonly name: string;
    /** Bytes of weights that a plain forward reads. */
    readonly bytesPerToken: number;
    /** Time to read them at the measured bandwidth. */
    readonly boundMs: number;
    /** boundMs / time of one row. */
    readonly shareOfBound: number;
  } & ForwardTimes;
}

/** `idlm doctor`: measures this machine. */
export function registerDoctor(program: Command, cli: Cli): void {
  addCommonOptions(program.command("doctor"))
    .summary("measure this machine and the speed-up that it allows")
    .description(
      "Reports the kernels that this machine uses, its memory bandwidth, the time of a model's forwards by number of rows, " +
        `and the speed-up that this allows. MODEL is named as in run (default: ${RACE_MODEL}, if it has been pulled).`,
    )
    .argument("[model]", "the model to time; without a model only the machine is measured")
    .addOption(adapterOption())
    .addOption(threadsOption())
    .option("--json", "print only the results, as JSON")
    .addHelpText(
      "after",
      examples("idlm doctor", "idlm doctor model.gguf --threads 2 --json", "IDLM_ISA=avx2 idlm doctor"),
    )
    .action(async (name: string | undefined, options: DoctorOptions) => {
      const report = await withInterrupt(cli.io, (signal) => examine(cli, name, options, signal));
      if (options.json) printJson(cli, report);
      else cli.io.stdout.write(textOf(report));
      if (report.problem !== undefined) cli.status = errorCatalogue.backend.exit;
    });
}

/** The report as text, without showing progress. `shown` stands for the model's name or path. */
export async function doctorReport(
  cli: Cli,
  name: string,
  shown: string,
  options: Omit<DoctorOptions, "json">,
  signal: AbortSignal,
): Promise<string> {
  const { model, ...machine } = await examine(cli, name, { ...options, json: true }, signal);
  return textOf({ ...machine, ...(model && { model: { ...model, name: shown } }) });
}

async function examine(
  cli: Cli,
  name: string | undefined,
  options: DoctorOptions,
  signal: AbortSignal,
): Promise<Report> {
  const machine = { cpu: cpus()[0]?.model.trim() ?? "unknown", cores: availableParallelism(), node: process.version };
  const live = new LiveLine(cli.io, !options.json);
  try {
    const backend = createNativeBackend(options.threads === undefined ? {} : { threads: options.threads });
    live.show("measuring memory …");
    const bandwidthGBs = await backend.measureBandwidth(BANDWIDTH_BYTES);
    const productsPerSecond = await backend.measureArithmetic();
    signal.throwIfAborted();
    const { instructionSet, threads, numerics } = backend.info;
    const roofs = { bandwidthGBs, productsPerSecond };
    const native = { instructionSet, instructionSets: supportedInstructionSets(), threads, numerics, ...roofs };
    const chosen = name ?? (await cachedModel(signal));
    if (chosen === undefined) return { ...machine, native };

    live.show(`loading ${chosen} …`);
    const bytesPerToken = await plainBytes(cli, chosen, signal);
    const { model } = await loadBareModel(
      cli.io,
      chosen,
      { ...options, ...defaultAdapter(chosen, options.adapter) },
      signal,
    );
    try {
      const times = await measureForwards(model, signal, (round, of) =>
        live.show(`timing forwards, round ${round} of ${of} …`),
      );
      const boundMs = bytesPerToken / bandwidthGBs / 1e6;
      const oneRowMs = times.rows[0]?.ms ?? Number.NaN;
      const figures = { name: chosen, bytesPerToken, boundMs, shareOfBound: boundMs / oneRowMs };
      return { ...machine, native, model: { ...figures, ...times } };
    } finally {
      model.dispose();
    }
  } catch (error) {
    if (!(error instanceof IdlmError) || error.code !== "backend") throw error;
    return { ...machine, problem: error.message };
  } finally {
    live.clear();
  }
}

/** Bytes that a forward of one token row reads: all weights, except an adapter's and all but one row of an untied embedding. */
async function plainBytes(cli: Cli, name: string, signal: AbortSignal): Promise<number> {
  const { model } = await loadBareModel(cli.io, name, { threads: 1 }, signal);
  const { embedding, output } = tokenMatrices(model.program);
  const unread = embedding === output ? 0 : storedBytes(model.program.parameters[embedding]);
  model.dispose();
  return model.weightBytes - unread;
}

function storedBytes(parameter: Parameter | undefined): number {
  return parameter === undefined ? 0 : (byteLength(parameter.type, parameter.rows * parameter.cols) ?? 0);
}

/** The model of `race`, if it is in the cache: doctor downloads no model that was not named. */
async function cachedModel(signal: AbortSignal): Promise<string | undefined> {
  try {
    await resolveModel(RACE_MODEL, { signal });
    return RACE_MODEL;
  } catch (error) {
    if (error instanceof IdlmError) return undefined;
    throw error;
  }
}

function textOf({ cpu, cores, node, native, problem, model }: Report): string {
  const lines = [
    ["CPU", `${cpu}, ${cores} ${cores === 1 ? "core" : "cores"}`],
    ["Node.js", node],
  ];
  if (native === undefined) return `${table2(lines)}\nnative backend: ${problem ?? "missing"}\n`;
  lines.push(
    [
      "instruction set",
      `${native.instructionSet} (this CPU supports ${native.instructionSets.join(", ")}; set IDLM_ISA to choose)`,
    ],
    ["threads", String(native.threads)],
    ["numerics", String(native.numerics)],
    ["read bandwidth", `${native.bandwidthGBs.toFixed(1)} GB/s`],
    ["arithmetic peak", `${(native.productsPerSecond / 1e9).toFixed(0)} billion 8-bit products/s`],
  );
  if (model === undefined) return `${table2(lines)}\nNo model was timed. Download one with idlm pull ${RACE_MODEL}.\n`;
  lines.push(
    ["model", `${model.name}, ${(model.bytesPerToken / 1e6).toFixed(1)} MB read per token`],
    [
      "time to read them",
      `${model.boundMs.toFixed(2)} ms; one row reaches ${(100 * model.shareOfBound).toFixed(0)} % of this bound`,
    ],
  );
  const rows = model.rows.map(({ rows, ms, overOneRow }) => [String(rows), ms.toFixed(2), overOneRow.toFixed(2)]);
  const strides = model.strides.map(({ stride, rows, ms, overhead, bestSpeedUp }) => {
    return [String(stride), String(rows), ms.toFixed(2), overhead.toFixed(2), `${bestSpeedUp.toFixed(2)} x`];
  });
  return [
    table2(lines),
    `\nForwards after ${model.contextTokens} positions\n`,
    table([["rows", "ms", "over one row"], ...rows]),
    strides.length === 0
      ? "\nWithout an adapter there are no MASK rows to time.\n"
      : `\nRounds: speed-up = tokens per forward / overhead; the last column is the best case\n${table([["stride", "rows", "ms", "overhead", "at best"], ...strides])}`,
  ].join("");
}

/** Names and values, left-aligned. */
function table2(lines: readonly (readonly string[])[]): string {
  return lines.map(([name = "", value = ""]) => `${name.padEnd(20)}${value}\n`).join("");
}
