import { availableParallelism } from "node:os";
import type { Command } from "commander";
import { cpuName } from "../../bench/cores.ts";
import {
  type MachineRoofs,
  type ModelRoofs,
  measureMachineRoofs,
  measureModelRoofs,
} from "../../bench/machine-roofs.ts";
import type { Backend } from "../../compute/backend.ts";
import type { LoadedModel } from "../../compute/loaded-model.ts";
import { createNativeBackend, supportedInstructionSets } from "../../compute/native/index.ts";
import { errorCatalogue, IdlmError } from "../../errors.ts";
import { resolveModel } from "../../hub/index.ts";
import { addCommonOptions, type Cli, examples, printJson } from "../cli.ts";
import { type BareOptions, defaultAdapter, openBareProgram } from "../options/bare-model.ts";
import { adapterOption, threadsOption } from "../options/generation-options.ts";
import { withInterrupt } from "../terminal/interrupt.ts";
import { machineRoofLines, modelRoofsText } from "../terminal/roofs-table.ts";
import { LiveLine, table } from "../terminal/style.ts";
import { RACE_MODEL } from "./race.ts";

interface DoctorOptions {
  readonly adapter?: string;
  readonly threads?: number;
  readonly json?: boolean;
}

/** What `idlm doctor --json` prints. */
export interface DoctorReport {
  readonly cpu: string;
  readonly cores: number;
  readonly node: string;
  /** Undefined if the native backend is not available; `problem` says why. */
  readonly native?: {
    readonly instructionSet: string;
    /** Supported by this CPU, best first. */
    readonly instructionSets: readonly string[];
    readonly numerics: number;
  } & MachineRoofs;
  readonly problem?: string;
  readonly model?: {
    readonly name: string;
  } & ModelRoofs;
}

/** `idlm doctor`: measures this machine. */
export function registerDoctor(program: Command, cli: Cli): void {
  addCommonOptions(program.command("doctor"))
    .summary("measure this machine and the speed-up that it allows")
    .description(
      "Reports the kernels that this machine uses, the two roofs of every forward (read bandwidth and arithmetic), the time " +
        "of a model's forwards by number of rows beside them, and the speed-up that follows by tokens per forward.",
    )
    .argument(
      "[model]",
      `a model as in run, to time (default: ${RACE_MODEL} if it has been pulled, else only the machine is measured)`,
    )
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

/** What `idlm doctor` reports and prints, without showing progress. `shown` stands for the model's name or path. */
export async function examineQuietly(
  cli: Cli,
  name: string,
  shown: string,
  options: Omit<DoctorOptions, "json">,
  signal: AbortSignal,
): Promise<{ readonly figures: DoctorReport; readonly report: string }> {
  const { model, ...machine } = await examine(cli, name, { ...options, json: true }, signal);
  const figures = { ...machine, ...(model && { model: { ...model, name: shown } }) };
  return { figures, report: textOf(figures) };
}

async function examine(
  cli: Cli,
  name: string | undefined,
  options: DoctorOptions,
  signal: AbortSignal,
): Promise<DoctorReport> {
  const machine = { cpu: cpuName(), cores: availableParallelism(), node: process.version };
  const live = new LiveLine(cli.io, !options.json);
  try {
    const backend = createNativeBackend(options.threads === undefined ? {} : { threads: options.threads });
    const chosen = name ?? (await cachedModel(signal));
    const loaded = chosen === undefined ? undefined : await loadBoth(backend, cli, chosen, options, live, signal);
    try {
      live.show("measuring memory and arithmetic …");
      const roofs = await measureMachineRoofs(backend);
      signal.throwIfAborted();
      const { instructionSet, numerics } = backend.info;
      const native = { instructionSet, instructionSets: supportedInstructionSets(), numerics, ...roofs };
      if (chosen === undefined || loaded === undefined) return { ...machine, native };
      const onRound = (round: number, of: number) => live.show(`timing forwards, round ${round} of ${of} …`);
      const figures = await measureModelRoofs(roofs, loaded.model, loaded.plain, { signal, onRound });
      return { ...machine, native, model: { name: chosen, ...figures } };
    } finally {
      loaded?.model.dispose();
      loaded?.plain.dispose();
    }
  } catch (error) {
    if (!(error instanceof IdlmError) || error.code !== "backend") throw error;
    return { ...machine, problem: error.message };
  } finally {
    live.clear();
  }
}

/** A model, and the same one without its adapter, with shared weights. */
async function loadBoth(
  backend: Backend,
  cli: Cli,
  name: string,
  options: DoctorOptions,
  live: LiveLine,
  signal: AbortSignal,
): Promise<{ readonly model: LoadedModel; readonly plain: LoadedModel }> {
  live.show(`loading ${name} …`);
  const plain = await loadOn(backend, cli, name, {}, signal);
  try {
    return { plain, model: await loadOn(backend, cli, name, defaultAdapter(name, options.adapter), signal, plain) };
  } catch (error) {
    plain.dispose();
    throw error;
  }
}

/** Loads a model's program; `shareWith`: the same model, with other adapters or none. */
async function loadOn(
  backend: Backend,
  cli: Cli,
  name: string,
  options: BareOptions,
  signal: AbortSignal,
  shareWith?: LoadedModel,
): Promise<LoadedModel> {
  const { program, close } = await openBareProgram(cli.io, name, options, signal);
  try {
    return await backend.load(program, shareWith === undefined ? {} : { shareWith });
  } finally {
    close();
  }
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

function textOf({ cpu, cores, node, native, problem, model }: DoctorReport): string {
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
    ["numerics", String(native.numerics)],
    ...machineRoofLines(native),
  );
  if (model === undefined) return `${table2(lines)}\nNo model was timed. Download one with idlm pull ${RACE_MODEL}.\n`;
  const { bytesPerForward, productsPerRow } = model;
  const work = `${(bytesPerForward / 1e6).toFixed(1)} MB read per forward, ${(productsPerRow / 1e6).toFixed(1)} million products per row`;
  lines.push(["model", `${model.name}, ${work}`]);
  const strides = model.strides.map(({ stride, rows, ms, overhead, bestSpeedUp }) => {
    return [String(stride), String(rows), ms.toFixed(2), overhead.toFixed(2), `${bestSpeedUp.toFixed(2)} x`];
  });
  return [
    table2(lines),
    modelRoofsText(model),
    strides.length === 0
      ? "\nWithout an adapter there are no MASK rows to time.\n"
      : `\nRounds: speed-up = tokens per forward / overhead; the last column is the best case\n${table([["stride", "rows", "ms", "overhead", "at best"], ...strides])}`,
  ].join("");
}

/** Names and values, left-aligned. */
function table2(lines: readonly (readonly string[])[]): string {
  return lines.map(([name = "", value = ""]) => `${name.padEnd(20)}${value}\n`).join("");
}
