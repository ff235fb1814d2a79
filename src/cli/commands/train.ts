import { type Command, InvalidArgumentError, Option } from "commander";
import { chooseBackend } from "../../engine/load/open-program.ts";
import { IdlmError } from "../../errors.ts";
import type { AdapterStore } from "../../formats/adapter/write-adapter.ts";
import { openModel } from "../../model/open/open-model.ts";
import { modelFingerprint } from "../../training/model-fingerprint.ts";
import { type TrainingLoss, trainingDefaults, trainingLosses } from "../../training/settings.ts";
import { type TrainResult, train } from "../../training/train.ts";
import type { WeightStore } from "../../training/weights/weight-settings.ts";
import { weightDefaults } from "../../training/weights/weight-settings.ts";
import { addCommonOptions, type Cli, examples } from "../cli.ts";
import { backendOption, threadsOption } from "../options/generation-options.ts";
import { decimal, integer } from "../options/numbers.ts";
import { programVersions } from "../options/program-versions.ts";
import { INTERRUPTED, withInterrupt } from "../terminal/interrupt.ts";
import { TrainingProgress } from "../terminal/training-progress.ts";
import { resolveAdapterWithProgress, resolveWithProgress } from "./pull.ts";
import { trainAllWeights } from "./train-weights.ts";

interface TrainOptions {
  readonly data: string;
  readonly out: string;
  readonly objective: "gated" | "full" | "plain";
  readonly config?: string;
  readonly steps?: number;
  readonly hours?: number;
  readonly seed: number;
  readonly masks?: number;
  readonly entryLayer?: number;
  readonly rank?: number;
  readonly alpha?: number;
  readonly draftVocabulary?: number;
  readonly loss: TrainingLoss;
  readonly firstMiss?: boolean;
  readonly depthWeights: readonly number[];
  readonly maskCurriculum: number;
  readonly roundStarts: number;
  readonly visits: number;
  readonly learningRate?: number;
  readonly batchRows?: number;
  readonly cleanWeight?: number;
  readonly weightDecay?: number;
  readonly checkpointEvery: number;
  readonly keepCheckpoints: number;
  readonly heldOutRows: number;
  readonly init?: string;
  readonly store?: AdapterStore | WeightStore;
  readonly threads?: number;
  readonly backend?: "native" | "reference";
  readonly json?: boolean;
}

const DEFAULT_STEPS = 2000;
const MAX_STEPS = 10_000_000;
/** A year. */
const MAX_HOURS = 8760;
/** Published models propose up to 7; each further depth is right less often. */
const MAX_MASKS = 15;
const MAX_RANK = 1024;

/** `idlm train`: trains an adapter that proposes several tokens per forward, or all weights of a model. */
export function registerTrain(program: Command, cli: Cli): void {
  const d = trainingDefaults;
  const count = (flags: string, description: string, min: number, max: number) =>
    new Option(flags, description).argParser(integer({ min, max }));
  const share = (flags: string, description: string) =>
    new Option(flags, description).argParser(decimal({ min: 0, max: 1 }));
  addCommonOptions(program.command("train"))
    .summary("train an adapter that proposes several tokens per forward, or a model")
    .description(
      "Trains an adapter for MASK rows on text that the model wrote itself (see idlm write); the model's own weights are " +
        "not changed. The objective full trains all weights instead, as in arXiv 2604.11035; plain trains a new model. " +
        "Run again with the same --out, it resumes from the last checkpoint; a finished run exits at once.",
    )
    .argument("[model]", "a model as in run; for full a Hugging Face folder of float weights, for plain none")
    .requiredOption("--data <dir>", "folder that idlm write has written, or is writing")
    .requiredOption("--out <dir>", "folder of the adapter or model; checkpoints are in it, too")
    .addOption(
      new Option("--objective <name>", "gated: an adapter; full: all weights, for MASKs and text; plain: a new model")
        .choices(["gated", "full", "plain"])
        .default(d.objective),
    )
    .option("--config <file>", "plain: config.json of the new model, with its tokenizer's files beside it")
    .addOption(count("--steps <n>", `steps to train (default: ${DEFAULT_STEPS})`, 1, MAX_STEPS))
    .addOption(
      new Option(
        "--hours <h>",
        "hours to train, in place of steps; the checkpoint with the best prediction is the result",
      )
        .argParser(decimal({ min: 0, max: MAX_HOURS, above: true }))
        .conflicts("steps"),
    )
    .addOption(count("--seed <n>", "seed of all random choices", 0, Number.MAX_SAFE_INTEGER).default(d.seed))
    .addOption(count("--masks <m>", `depths of MASK rows; full: largest block (default: ${d.masks})`, 1, MAX_MASKS))
    .addOption(
      count("--entry-layer <e>", "layer at which MASK rows enter (default: after two thirds of the layers)", 0, 10_000),
    )
    .addOption(count("--rank <r>", `rank of the LoRA (default: ${d.rank})`, 1, MAX_RANK))
    .addOption(
      new Option("--alpha <a>", `scale of the LoRA: alpha / rank (default: ${d.alpha})`).argParser(
        decimal({ min: 0, max: 1e6, above: true }),
      ),
    )
    .addOption(
      count("--draft-vocabulary <n>", `ids that can be proposed (default: ${d.draftVocabulary})`, 1, 10_000_000),
    )
    .addOption(new Option("--loss <name>", "annealed: from kl to log_overlap").choices(trainingLosses).default(d.loss))
    .option("--first-miss", "a MASK counts only if the MASKs before it propose the most likely token")
    .addOption(
      new Option("--depth-weights <w,...>", "weights of the loss by depth; the last one holds for all deeper ones")
        .argParser(weights)
        .default(d.depthWeights, d.depthWeights.join(",")),
    )
    .addOption(
      share("--mask-curriculum <share>", "share of the run in which runs grow from 1 MASK to all").default(
        d.maskCurriculum,
      ),
    )
    .addOption(share("--round-starts <share>", "share of anchors that are starts of rounds").default(d.roundStarts))
    .addOption(count("--visits <n>", "steps that use a sequence before the next one", 1, 1000).default(d.visits))
    .addOption(
      new Option(
        "--learning-rate <x>",
        `peak, after a warm-up of 3 % of the run and before a cosine decay (default: ${perObjective("learningRate")})`,
      ).argParser(decimal({ min: 0, max: 1, above: true })),
    )
    .addOption(
      count(
        "--batch-rows <n>",
        `approximate number of rows with a target per step (default: ${perObjective("batchRows")})`,
        4,
        65_536,
      ),
    )
    .addOption(
      new Option(
        "--clean-weight <x>",
        `full: factor of the loss of clean rows, before the last stage (default: ${weightDefaults.full.cleanWeight})`,
      ).argParser(decimal({ min: 0, max: 1000 })),
    )
    .addOption(
      new Option(
        "--weight-decay <x>",
        `full and plain: AdamW's, of matrices (default: ${weightDefaults.full.weightDecay})`,
      ).argParser(decimal({ min: 0, max: 1 })),
    )
    .addOption(count("--checkpoint-every <steps>", "steps between checkpoints", 1, MAX_STEPS).default(200))
    .addOption(count("--keep-checkpoints <n>", "checkpoints to keep", 1, 1000).default(3))
    .addOption(count("--held-out-rows <n>", "held-out rows to evaluate at a checkpoint; 0: none", 0, 1e6).default(24))
    .option("--init <dir>", "adapter folder or ORG/REPO to start from, with its shape")
    .addOption(
      new Option(
        "--store <type>",
        `int8: adapters in half the size of bf16, which peft reads; f32: models (default: ${d.store})`,
      ).choices(["bf16", "int8", "f32"]),
    )
    .addOption(threadsOption())
    .addOption(backendOption())
    .option(
      "--json",
      "print a JSON line for the start, every tenth step, every evaluation, every checkpoint and the end",
    )
    .addHelpText(
      "after",
      examples(
        "idlm train smollm2-135m-instruct --data text --out adapter --hours 8",
        "idlm train model.gguf --data text --out adapter --steps 5000 --entry-layer 20 --seed 7",
        "idlm train model.gguf --data text --out longer --init adapter --steps 1000 --learning-rate 2e-4",
        "idlm train --objective plain --config new/config.json --data text --out model --steps 3000",
        "idlm train model --objective full --data text --out converted --steps 3000",
      ),
    )
    .action(async (name: string | undefined, options: TrainOptions, command: Command) => {
      checkOptions(name, options, command);
      cli.status = await withInterrupt(cli.io, (signal) =>
        name === undefined || options.objective !== "gated"
          ? trainAllWeights(
              cli,
              name,
              { ...options, objective: options.objective === "full" ? "full" : "plain", defaultSteps: DEFAULT_STEPS },
              signal,
            )
          : run(cli, name, options, signal),
      );
    });
}

function perObjective(name: "learningRate" | "batchRows"): string {
  const { full, plain } = weightDefaults;
  return `${trainingDefaults[name]}; full: ${full[name]}; plain: ${plain[name]}`;
}

/** Options that concern adapters, or training of all weights, only. */
const ofAdapters: readonly (keyof TrainOptions)[] = [
  ...(["entryLayer", "rank", "alpha", "draftVocabulary", "loss", "firstMiss", "depthWeights"] as const),
  ...(["maskCurriculum", "roundStarts", "visits", "init"] as const),
];
const ofWeights: readonly (keyof TrainOptions)[] = ["cleanWeight", "weightDecay", "config"];

/** @throws IdlmError "usage" for options that another objective has. */
function checkOptions(name: string | undefined, options: TrainOptions, command: Command): void {
  const { objective, store } = options;
  const fail = (problem: string, hint: string) => new IdlmError("usage", { problem, hint });
  const needsModel = objective !== "plain";
  if (needsModel && name === undefined) throw fail(`the objective ${objective} trains a model`, "Name one.");
  if (!needsModel && name !== undefined) {
    throw fail(`the objective plain begins with random weights, not with ${name}`, "Leave the model out.");
  }
  if (!needsModel && options.config === undefined) {
    throw fail("the objective plain needs the shape of the new model", "Name a config.json with --config.");
  }
  const refused = objective === "gated" ? ofWeights : ofAdapters;
  const other = [...refused, ...(objective === "plain" ? (["masks", "cleanWeight"] as const) : [])];
  if (objective === "full") other.push("config");
  const given = other.find((option) => command.getOptionValueSource(option) === "cli");
  if (given !== undefined) {
    const flag = `--${given.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    throw fail(`${flag} does not apply to the objective ${objective}`, "Leave it out.");
  }
  const wrong = objective === "gated" ? "f32" : "int8";
  if (store === wrong) throw fail(`--store ${wrong} does not apply to the objective ${objective}`, "Use bf16.");
}

function weights(text: string): readonly number[] {
  return text.split(",").map((part) => {
    const value = decimal({ min: 0, max: 1e6 })(part.trim());
    if (value === 0 && text.split(",").length === 1) throw new InvalidArgumentError("Expected a weight above 0.");
    return value;
  });
}

async function run(cli: Cli, name: string, options: TrainOptions, signal: AbortSignal): Promise<number> {
  const { io } = cli;
  const onWarning = (message: string) => void io.notices.write(`warning: ${message}\n`);
  const backend = chooseBackend({ ...options, onWarning });
  const location = await resolveWithProgress(io, name, signal);
  const init = options.init === undefined ? undefined : await resolveAdapterWithProgress(io, options.init, signal);
  const fingerprint = await modelFingerprint(location, signal);
  const opened = openModel(location.path, location.kind);
  const progress = new TrainingProgress(cli, options.json === true);
  let result: TrainResult;
  try {
    result = await train({
      base: { opened, name, fingerprint, sha256: location.kind === "gguf" ? fingerprint : undefined },
      ...{ backend, data: options.data, out: options.out, ...(init !== undefined && { init }) },
      settings: settingsOf(options),
      heldOutRows: options.heldOutRows,
      checkpointEvery: options.checkpointEvery,
      keepCheckpoints: options.keepCheckpoints,
      program: programVersions(),
      ...{ signal, onWarning },
      onEvent: (event) => progress.show(event),
    });
  } finally {
    progress.end();
    opened.close();
  }
  progress.finish(options.out, result);
  return result.status === "stopped" ? INTERRUPTED : 0;
}

function settingsOf(options: TrainOptions) {
  const { masks, entryLayer, rank, alpha, draftVocabulary, steps = DEFAULT_STEPS, hours } = options;
  const { seed, loss, firstMiss = false, depthWeights, maskCurriculum, roundStarts, visits } = options;
  const { learningRate = trainingDefaults.learningRate, batchRows = trainingDefaults.batchRows } = options;
  const store = options.store === "int8" ? options.store : trainingDefaults.store;
  if (depthWeights[0] === 0) {
    throw new IdlmError("usage", { problem: "--depth-weights: depth 1 has weight 0", hint: "Use a weight above 0." });
  }
  return {
    ...(hours === undefined ? { steps } : { hours }),
    ...{ objective: "gated" as const, seed, loss, firstMiss, depthWeights, maskCurriculum, roundStarts, visits },
    ...{ learningRate, batchRows, store },
    ...(masks !== undefined && { masks }),
    ...(entryLayer !== undefined && { entryLayer }),
    ...(rank !== undefined && { rank }),
    ...(alpha !== undefined && { alpha }),
    ...(draftVocabulary !== undefined && { draftVocabulary }),
  };
}
