import { type Command, Option } from "commander";
import type { Backend } from "../../compute/backend.ts";
import { adamWDefaults } from "../../compute/gradients/adamw.ts";
import { type RowLoss, rowLosses } from "../../compute/gradients/gated-step.ts";
import { type RepeatedSteps, repeatSteps, type TrainedTensor } from "../../compute/gradients/repeated-steps.ts";
import { loadedValues } from "../../compute/program/loaded-values.ts";
import type { Program } from "../../compute/program/program.ts";
import { type TensorToWrite, tensorOf, writeSafetensors } from "../../formats/safetensors/safetensors-writer.ts";
import { trainedTensorName, trainedTensorShape } from "../../model/compile/parameters.ts";
import { addCommonOptions, type Cli, examples, printJson } from "../cli.ts";
import { openBareProgram } from "../options/bare-model.ts";
import { backendOption, threadsOption } from "../options/generation-options.ts";
import { decimal, integer } from "../options/numbers.ts";
import { readTrainingBatchFile, type TrainingBatchFile } from "../options/training-batch-file.ts";
import { withInterrupt } from "../terminal/interrupt.ts";

interface GradientsOptions {
  readonly batch: string;
  readonly out: string;
  readonly adapter?: string;
  readonly maskEmbedding?: string;
  readonly backend?: "native" | "reference";
  readonly threads?: number;
  readonly loss: RowLoss;
  readonly steps: number;
  readonly learningRate: number;
  readonly weightDecay: number;
  readonly json?: boolean;
}

/** Steps on one batch are a comparison with another trainer, not a training. */
const MAX_STEPS = 10_000;

/** `idlm gradients`: losses, gradients and steps of AdamW on one batch, for comparison with other trainers. */
export function registerGradients(program: Command, cli: Cli): void {
  addCommonOptions(program.command("gradients"))
    .summary("compute the gradients of a training batch")
    .description(
      "Trains on one sequence for some steps of AdamW (betas 0.9 and 0.95, gradients clipped to a norm of 1) and stores the " +
        "first step's gradients and the final parameters in float32, for comparison with other trainers. It needs no tokenizer.",
    )
    .argument("<model>", "a model as in run")
    .requiredOption(
      "--batch <file>",
      "JSON file with objective, tokens, and m, anchors (gated) or prompt_length, block, alpha, mask_token_id (full)",
    )
    .requiredOption("--out <file>", "safetensors file to write")
    .option("--adapter <dir>", "adapter folder (PEFT's or idlm's), trained by the objective gated")
    .option("--mask-embedding <file>", "safetensors file with mask_embedding, [hidden] or [depth, hidden]")
    .addOption(
      new Option("--loss <name>", "loss of MASK rows (objective gated)").choices(Object.keys(rowLosses)).default("kl"),
    )
    .addOption(
      new Option("--steps <n>", "steps on the batch").argParser(integer({ min: 1, max: MAX_STEPS })).default(1),
    )
    .addOption(
      new Option("--learning-rate <x>", "constant learning rate").argParser(decimal({ min: 0, max: 1 })).default(1e-3),
    )
    .addOption(
      new Option("--weight-decay <x>", "decay of tensors of two dimensions")
        .argParser(decimal({ min: 0, max: 1 }))
        .default(0.1),
    )
    .addOption(backendOption())
    .addOption(threadsOption())
    .option("--json", "print loss, losses and grad_norms as JSON")
    .addHelpText(
      "after",
      "\nStores grad.NAME (first step, before clipping) and final.NAME (after the last). Objective gated: the adapter is trained,\n" +
        "names are those of its files; MASK rows off each anchor have the model's own distribution as target. Objective full:\n" +
        "all weights are trained, on cross entropy of MASK rows and, times alpha, of clean rows.\n" +
        examples(
          "idlm gradients model.gguf --batch batch.json --out gradients.safetensors --adapter lora --mask-embedding mask.safetensors",
          "idlm gradients folder --batch full.json --out gradients.safetensors --steps 8 --json",
        ),
    )
    .action(async (name: string, options: GradientsOptions) => {
      await withInterrupt(cli.io, (signal) => gradients(cli, name, options, signal));
    });
}

async function gradients(cli: Cli, name: string, options: GradientsOptions, signal: AbortSignal): Promise<void> {
  const file = readTrainingBatchFile(options.batch);
  const { backend, program, close } = await openBareProgram(cli.io, name, options, signal);
  let model: Awaited<ReturnType<typeof trainable>>;
  let trained: ReadonlyMap<string, TrainedTensor>;
  try {
    trained = trainedTensors(program, file.objective);
    model = await trainable(backend, program, file, options.loss);
  } finally {
    close();
  }
  try {
    const { learningRate, weightDecay, steps: nSteps } = options;
    const stopping = {
      ...model,
      step: (wantsGradients: boolean) => {
        signal.throwIfAborted();
        return model.step(wantsGradients);
      },
    };
    const result = await repeatSteps(stopping, trained, { ...adamWDefaults, learningRate, weightDecay, nSteps });
    writeSafetensors(options.out, tensorsOf(result, trained));
    report(cli, result, options);
  } finally {
    model.dispose();
  }
}

/** One batch of a model in training. */
async function trainable(backend: Backend, program: Program, file: TrainingBatchFile, loss: RowLoss) {
  if (file.objective === "full") {
    const model = await backend.loadFull(program);
    return {
      step: (wantsGradients: boolean) => model.step(file.batch, wantsGradients),
      replaceParameters: (values: ReadonlyMap<string, Float32Array>) => model.replaceParameters(values),
      dispose: () => model.dispose(),
    };
  }
  const model = await backend.loadGated(program);
  const depthWeights = Array<number>(file.batch.nMasks).fill(1);
  const settings = { mixture: { [loss]: 1 }, depthWeights, firstMiss: false };
  return {
    step: (wantsGradients: boolean) => model.step(file.batch, settings, wantsGradients),
    replaceParameters: (values: ReadonlyMap<string, Float32Array>) => model.replaceParameters(values),
    dispose: () => model.dispose(),
  };
}

function trainedTensors(program: Program, objective: TrainingBatchFile["objective"]): Map<string, TrainedTensor> {
  const tensors = new Map<string, TrainedTensor>();
  for (const [id, parameter] of Object.entries(program.parameters)) {
    if (objective === "full" ? parameter.type === "I32" : !parameter.isTrainable) continue;
    tensors.set(id, { shape: trainedTensorShape(program, id), values: loadedValues(id, parameter).slice() });
  }
  return tensors;
}

function tensorsOf({ gradients }: RepeatedSteps, trained: ReadonlyMap<string, TrainedTensor>) {
  const tensors = new Map<string, TensorToWrite>();
  for (const [id, { shape, values }] of trained) {
    const name = trainedTensorName(id);
    tensors.set(`grad.${name}`, tensorOf(gradients.get(id) ?? new Float32Array(values.length), shape));
    tensors.set(`final.${name}`, tensorOf(values, shape));
  }
  return tensors;
}

function report(cli: Cli, { losses, gradientNorms }: RepeatedSteps, { json, out }: GradientsOptions): void {
  const [loss] = losses;
  if (json) {
    printJson(cli, { out, loss, losses, grad_norms: gradientNorms });
    return;
  }
  cli.io.stdout.write(`${out}\nloss ${losses.map((x) => x.toFixed(6)).join(" ")}\n`);
  cli.io.stdout.write(`gradient norm ${gradientNorms.map((x) => x.toFixed(6)).join(" ")}\n`);
}
