import { realpathSync } from "node:fs";
import { type Command, Option } from "commander";
import { IdlmError } from "../../errors.ts";
import { convertAdapter } from "../../formats/adapter/convert-adapter.ts";
import type { AdapterStore } from "../../formats/adapter/write-adapter.ts";
import { addCommonOptions, type Cli, examples } from "../cli.ts";
import { withInterrupt } from "../terminal/interrupt.ts";
import { resolveAdapterWithProgress } from "./pull.ts";

interface ConvertOptions {
  readonly out: string;
  readonly store: AdapterStore;
}

/** `idlm convert`: stores an adapter in another type. */
export function registerConvert(program: Command, cli: Cli): void {
  addCommonOptions(program.command("convert"))
    .summary("store an adapter in another type")
    .description(
      "Copies an adapter, with its matrices in bfloat16, which Python's peft loads, or in 8 bits, about half the size.",
    )
    .argument("<adapter>", "adapter folder or ORG/REPO")
    .requiredOption("--out <dir>", "folder to write")
    .addOption(
      new Option("--store <type>", "bf16: as peft reads it; int8: half the size")
        .choices(["bf16", "int8"])
        .default("int8"),
    )
    .addHelpText("after", examples("idlm convert adapter --out small", "idlm convert small --out adapter --store bf16"))
    .action(async (name: string, { out, store }: ConvertOptions) => {
      await withInterrupt(cli.io, async (signal) => {
        const from = await resolveAdapterWithProgress(cli.io, name, signal);
        if (isSameFolder(from, out)) {
          const problem = "--out names the adapter itself";
          throw new IdlmError("usage", { problem, hint: "Name another folder" });
        }
        convertAdapter(from, out, store);
        cli.io.stdout.write(`${out}\n`);
      });
    });
}

function isSameFolder(a: string, b: string): boolean {
  try {
    return realpathSync(a) === realpathSync(b);
  } catch {
    return false;
  }
}
