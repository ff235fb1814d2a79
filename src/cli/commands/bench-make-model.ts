import { basename, extname } from "node:path";
import { type Command, Option } from "commander";
import { makeModel } from "../../bench/make-model.ts";
import { modelShapes } from "../../bench/model-shapes.ts";
import { type TypeMixName, typeMixNames } from "../../bench/type-mix.ts";
import { IdlmError } from "../../errors.ts";
import { readJsonObject } from "../../formats/files/json.ts";
import type { ModelConfig } from "../../model/config/config.ts";
import { configFromHuggingFace } from "../../model/config/huggingface-config.ts";
import { addCommonOptions, type Cli, examples } from "../cli.ts";
import { integer } from "../options/numbers.ts";
import { withInterrupt } from "../terminal/interrupt.ts";
import { LiveLine, megabytes } from "../terminal/style.ts";

interface MakeModelOptions {
  readonly shape: string;
  readonly type: TypeMixName;
  readonly out: string;
  readonly seed: number;
}

/** `idlm bench make-model`: writes a model with random weights to measure. */
export function registerMakeModel(bench: Command, cli: Cli): void {
  addCommonOptions(bench.command("make-model"))
    .summary("write a GGUF file of any shape with random weights")
    .description(
      "Writes a GGUF file with the shapes and types of a published model and random weights: the same speed and memory without the download. The file loads in idlm and in llama.cpp; its output is meaningless.",
    )
    .requiredOption("--shape <name>", `${Object.keys(modelShapes).join(", ")}; or the path of a model's config.json`)
    .addOption(
      new Option("--type <mix>", "types of its matrices, mixed as by llama.cpp")
        .choices(typeMixNames)
        .default("Q4_K_M"),
    )
    .requiredOption("--out <file>", "the file to write")
    .option("--seed <n>", "seed of the random weights", integer({ min: 0, max: 2 ** 32 - 1 }), 1)
    .addHelpText(
      "after",
      examples(
        "idlm bench make-model --shape llama-3.2-1b --type Q4_K_M --out 1b.gguf",
        "idlm bench make-model --shape my-model/config.json --type Q8_0 --out mine.gguf",
      ),
    )
    .action(async ({ shape, type, out, seed }: MakeModelOptions) => {
      const live = new LiveLine(cli.io);
      let shownAt = 0;
      try {
        const onBytes = (done: number, total: number) => {
          if (performance.now() - shownAt < 100 && done < total) return;
          shownAt = performance.now();
          live.show(`${megabytes(done)} of ${megabytes(total)}`);
        };
        const settings = {
          config: configOf(shape),
          name: `random ${basename(shape, extname(shape))}`,
          mix: type,
          seed,
        };
        const nBytes = await withInterrupt(cli.io, (signal) => makeModel(out, { ...settings, onBytes, signal }));
        live.clear();
        cli.io.stdout.write(`${out}: ${megabytes(nBytes)} of weights\n`);
      } finally {
        live.clear();
      }
    });
}

function configOf(shape: string): ModelConfig {
  if (Object.hasOwn(modelShapes, shape)) return modelShapes[shape] as ModelConfig;
  if (!shape.endsWith(".json")) {
    throw new IdlmError("usage", {
      problem: `--shape: unknown ${shape}`,
      hint: `Use ${Object.keys(modelShapes).join(", ")}, or the path of a config.json.`,
    });
  }
  return configFromHuggingFace(readJsonObject(shape, {}, "Name a model's config.json."), shape);
}
