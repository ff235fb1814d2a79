import { existsSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Command, Option } from "commander";
import { IdlmError, key, phrase } from "../../errors.ts";
import { convertAdapter } from "../../formats/adapter/convert-adapter.ts";
import type { AdapterStore } from "../../formats/adapter/write-adapter.ts";
import { type StorableType, storableTypes } from "../../formats/tensor/quantise.ts";
import { convertModel } from "../../model/convert-model.ts";
import { addCommonOptions, type Cli, examples } from "../cli.ts";
import { withInterrupt } from "../terminal/interrupt.ts";
import { resolveAdapterWithProgress, resolveWithProgress } from "./pull.ts";

interface ConvertOptions {
  readonly out: string;
  readonly store?: AdapterStore;
  readonly type?: Lowercase<StorableType>;
}

const modelTypes = storableTypes.map((type) => type.toLowerCase());

/** `idlm convert`: stores an adapter in another type, or a model folder as a GGUF file. */
export function registerConvert(program: Command, cli: Cli): void {
  addCommonOptions(program.command("convert"))
    .summary("store an adapter in another type, or a model as GGUF")
    .description(
      "Copies an adapter, with its matrices in bfloat16, which Python's peft loads, or in 8 bits, about half the size. With " +
        "--out FILE.gguf it writes a model, a Hugging Face folder, as a GGUF file, with its tokenizer.",
    )
    .argument("<name>", "adapter or model: a folder or ORG/REPO")
    .requiredOption("--out <path>", "folder of an adapter, or a model's file, whose name ends with .gguf")
    .addOption(
      new Option(
        "--store <type>",
        "of an adapter; bf16: as peft reads it; int8: half the size (default: int8)",
      ).choices(["bf16", "int8"]),
    )
    .addOption(new Option("--type <type>", "of a model's matrices (default: q8_0)").choices(modelTypes))
    .addHelpText(
      "after",
      examples(
        "idlm convert adapter --out small",
        "idlm convert small --out adapter --store bf16",
        "idlm convert folder --out model.gguf --type q8_0",
      ),
    )
    .action(async (name: string, { out, store, type }: ConvertOptions) => {
      const isModel = /\.gguf$/i.test(out);
      const [wrong, what] = isModel
        ? ([store && "store", "an adapter"] as const)
        : ([type && "type", "a model"] as const);
      if (wrong !== undefined) {
        const problem = phrase`${key(wrong)} is for ${what}, and ${key("out")} is ${out}`;
        throw new IdlmError("usage", { problem, hint: "A model is written to a file whose name ends with .gguf." });
      }
      await withInterrupt(cli.io, async (signal) => {
        if (isModel) await toGguf(name, out, (type ?? "q8_0").toUpperCase() as StorableType, signal);
        else await toAdapter(name, out, store ?? "int8", signal);
        cli.io.stdout.write(`${out}\n`);
      });
    });

  async function toGguf(name: string, out: string, type: StorableType, signal: AbortSignal): Promise<void> {
    const { kind, path } = await resolveWithProgress(cli.io, name, signal);
    if (kind === "gguf") {
      const problem = `${name} is a GGUF file already`;
      throw new IdlmError("usage", { problem, hint: "Name the Hugging Face folder of the model." });
    }
    await convertModel(path, out, type, signal);
  }

  async function toAdapter(name: string, out: string, store: AdapterStore, signal: AbortSignal): Promise<void> {
    if (isModelFolder(name)) {
      const problem = `${name} is a model, and ${out} is not the name of a GGUF file`;
      throw new IdlmError("usage", { problem, hint: "Write it to a file whose name ends with .gguf." });
    }
    if (existsSync(name) && statSync(name).isFile()) {
      const problem = `${name} is a file, and an adapter is a folder`;
      throw new IdlmError("usage", { problem, hint: "Name the folder of an adapter." });
    }
    const from = await resolveAdapterWithProgress(cli.io, name, signal);
    if (isSameFolder(from, out)) {
      const problem = "--out names the adapter itself";
      throw new IdlmError("usage", { problem, hint: "Name another folder." });
    }
    convertAdapter(from, out, store);
  }
}

function isModelFolder(name: string): boolean {
  const has = (file: string) => existsSync(join(name, file));
  return has("config.json") && !has("adapter_config.json") && !has("idlm.safetensors");
}

function isSameFolder(a: string, b: string): boolean {
  try {
    return realpathSync(a) === realpathSync(b);
  } catch {
    return false;
  }
}
