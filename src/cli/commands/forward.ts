import type { Command } from "commander";
import { PAGE_SIZE } from "../../compute/forest/forest.ts";
import type { ForwardResult } from "../../compute/loaded-model.ts";
import { draftVocabularyOf, type Program } from "../../compute/program/program.ts";
import { availableMemory, kvBytesPerPosition } from "../../engine/kv/memory.ts";
import { IdlmError } from "../../errors.ts";
import { type TensorToWrite, tensorOf, writeSafetensors } from "../../formats/safetensors/safetensors-writer.ts";
import { addCommonOptions, type Cli, examples, printJson } from "../cli.ts";
import { loadBareModel } from "../options/bare-model.ts";
import { checkVocabulary, type ForestFile, forestOf, readForestFile } from "../options/forest-file.ts";
import { backendOption, threadsOption } from "../options/generation-options.ts";
import { withInterrupt } from "../terminal/interrupt.ts";

interface ForwardOptions {
  readonly forest: string;
  readonly out: string;
  readonly adapter?: string;
  readonly maskEmbedding?: string;
  readonly backend?: "native" | "reference";
  readonly threads?: number;
  readonly json?: boolean;
}

/** `idlm forward`: computes the logits of a forest, for comparison with other engines. */
export function registerForward(program: Command, cli: Cli): void {
  addCommonOptions(program.command("forward"))
    .summary("compute the logits of a forest of rows")
    .description(
      "Runs one forward over a forest of rows and stores the results in float32, for comparison with other engines. It needs " +
        "no tokenizer.",
    )
    .argument("<model>", "a model as in run")
    .requiredOption(
      "--forest <file>",
      "JSON file with tokens (-1: MASK), positions, parents (-1: a new sequence) and gate, one number per row",
    )
    .requiredOption("--out <file>", "safetensors file to write")
    .option("--adapter <dir>", "adapter folder (PEFT's or idlm's); acts on rows with gate 1")
    .option("--mask-embedding <file>", "safetensors file with mask_embedding, [hidden] or [depth, hidden]")
    .addOption(backendOption())
    .addOption(threadsOption())
    .option("--json", "print only names and shapes of the stored tensors, as JSON")
    .addHelpText(
      "after",
      "\nStores logits [row, vocabulary]; with an adapter that has a draft vocabulary instead hidden [row, hidden], the logits\n" +
        "of the token rows, draft_logits [MASK row, draft vocabulary] and, if the forest has previous,\n" +
        "draft_logits_after_head.\n" +
        examples(
          "idlm forward model.gguf --forest forest.json --out logits.safetensors",
          "idlm forward folder --forest forest.json --out logits.safetensors --adapter lora --mask-embedding mask.safetensors",
        ),
    )
    .action(async (name: string, options: ForwardOptions) => {
      await withInterrupt(cli.io, (signal) => forward(cli, name, options, signal));
    });
}

async function forward(cli: Cli, name: string, options: ForwardOptions, signal: AbortSignal): Promise<void> {
  const file = readForestFile(options.forest);
  const { model, info } = await loadBareModel(cli.io, name, options, signal);
  try {
    const { program } = model;
    checkVocabulary(options.forest, file, program.sizes.vocabSize);
    if (file.tokens.includes(-1) && program.mask === undefined) {
      throw new IdlmError("usage", {
        problem: "the forest has MASK rows, but there are no MASK embeddings",
        hint: "Name an --adapter with MASK embeddings, or a --mask-embedding.",
      });
    }
    const { forest, nPages } = forestOf(file);
    checkMemory(program, file.tokens.length, nPages);
    const cache = model.createCache(nPages);
    try {
      const startMs = performance.now();
      const result = await model.forward(forest, cache);
      const elapsedMs = performance.now() - startMs;
      signal.throwIfAborted();
      const tensors = tensorsOf(result, file, program);
      writeSafetensors(options.out, tensors);
      const shapes = Object.fromEntries([...tensors].map(([key, { shape }]) => [key, shape]));
      const { name: backend, instructionSet, threads, numerics } = info;
      if (options.json)
        printJson(cli, { out: options.out, tensors: shapes, elapsedMs, backend, instructionSet, threads, numerics });
      else {
        const list = Object.entries(shapes).map(([key, shape]) => `${key} [${shape.join(", ")}]`);
        cli.io.stdout.write(`${options.out}: ${list.join(", ")}\n`);
      }
    } finally {
      cache.dispose();
    }
  } finally {
    model.dispose();
  }
}

/** Throws "memory" if the logits do not fit; they are held twice, by the model and for writing. */
function checkMemory(program: Program, nRows: number, nPages: number): void {
  const perRow = 2 * 4 * (program.sizes.vocabSize + program.sizes.hiddenSize);
  const needed = nRows * perRow + nPages * PAGE_SIZE * kvBytesPerPosition(program);
  const available = availableMemory();
  if (needed <= available) return;
  throw new IdlmError("memory", {
    needed: Math.ceil(needed / 1e6),
    available: Math.floor(available / 1e6),
    what: `the forest's ${nRows} rows`,
  });
}

/** The tensors to store, with rows in forest order; see the help text. */
export function tensorsOf(result: ForwardResult, file: ForestFile, program: Program): Map<string, TensorToWrite> {
  const rows = [...file.tokens.keys()];
  const draftSize = draftVocabularyOf(program)?.length;
  const { vocabSize, hiddenSize } = program.sizes;
  if (draftSize === undefined) return new Map([["logits", stack(rows, vocabSize, (row) => result.logits(row))]]);

  const tokenRows = rows.filter((row) => file.tokens[row] !== -1);
  const maskRows = rows.filter((row) => file.tokens[row] === -1);
  const tensors = new Map([
    ["hidden", stack(rows, hiddenSize, (row) => result.hidden(row))],
    ["logits", stack(tokenRows, vocabSize, (row) => result.logits(row))],
    ["draft_logits", stack(maskRows, draftSize, (row) => result.logits(row))],
  ]);
  const { previous } = file;
  if (previous !== undefined) {
    // A MASK row without a previous token has no input for the head.
    const afterHead = (row: number) => {
      const token = previous[row] ?? -1;
      return token < 0 ? result.logits(row) : result.draftLogits({ kind: "mask", row, previous: token });
    };
    tensors.set("draft_logits_after_head", stack(maskRows, draftSize, afterHead));
  }
  return tensors;
}

/** Stacks rows of floats to a matrix. */
function stack(rows: readonly number[], width: number, valuesOf: (row: number) => Float32Array): TensorToWrite {
  const values = new Float32Array(rows.length * width);
  for (const [i, row] of rows.entries()) values.set(valuesOf(row), i * width);
  return tensorOf(values, [rows.length, width]);
}
