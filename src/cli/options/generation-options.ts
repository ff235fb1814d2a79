import { type Command, InvalidArgumentError, Option } from "commander";
import { MAX_THREADS } from "../../compute/backend.ts";
import {
  type SamplingRequest,
  type SamplingSetting,
  type SamplingSettingName,
  samplingSettingNames,
  samplingSettings,
} from "../../compute/sampling/settings.ts";
import { proposeValues, shapeValues, verifyValues } from "../../engine/request/round-options.ts";
import type { GenerateRequest, Propose, Verify } from "../../index.ts";
import { optionFlag } from "./flag-names.ts";
import { decimal, integer } from "./numbers.ts";

/** Options of commands that load a model. */
export interface LoadOptions {
  readonly adapter?: string;
  readonly draftModel?: string;
  readonly context?: number;
  readonly threads?: number;
  readonly backend?: "native" | "reference";
}

/** Options of commands that generate text. Absent: the library's default. */
export interface TextOptions extends SamplingRequest {
  readonly propose: Propose;
  readonly shape?: NonNullable<GenerateRequest["shape"]>;
  readonly stride?: number;
  readonly verify: Verify;
  readonly tau?: number;
  readonly maxTokens?: number;
  readonly seed: number;
  readonly logitBias?: string;
  readonly stop?: readonly string[];
}

export const threadsOption = () =>
  new Option("--threads <n>", "threads to compute with (default: one per core, at most 16)").argParser(
    integer({ min: 1, max: MAX_THREADS }),
  );

export const backendOption = () =>
  new Option("--backend <name>", "backend (default: native, if it was built)").choices(["native", "reference"]);

export const adapterOption = () =>
  new Option(
    "--adapter <dir>",
    "adapter folder or ORG/REPO for MASK rows (default: the catalogue's, for a catalogue name)",
  );

export const contextOption = (what: string) => new Option("--context <n>", what).argParser(integer({ min: 1 }));

export const strideOption = () =>
  new Option(
    "--stride <n>",
    "most tokens per forward, 1 to 8; with MASK rows at most one more than the adapter has depths (default: depends on the shape)",
  ).argParser(integer({ min: 1, max: 8 }));

export const shapeOption = () =>
  new Option(
    "--shape <form>",
    "shape of a round; auto: chosen for each round from measurements (default: auto, or chain with --stride)",
  ).choices(shapeValues);

export const maxTokensOption = (byDefault = "") =>
  new Option("--max-tokens <n>", `most tokens to generate${byDefault}`).argParser(integer({ min: 1 }));

export function addLoadOptions(command: Command): Command {
  return command
    .addOption(adapterOption())
    .addOption(new Option("--draft-model <model>", "draft model: a smaller model with the same vocabulary"))
    .addOption(contextOption("context length, prompt and completion (default: the model's, as far as memory allows)"))
    .addOption(threadsOption())
    .addOption(backendOption());
}

function samplingOption(name: SamplingSettingName): Option {
  const { neutral, min, max, isOpen, isCount, symbol, help }: SamplingSetting = samplingSettings[name];
  const parse = isCount ? integer({ min }) : decimal({ min, max, above: isOpen ?? false });
  return new Option(`${optionFlag(name)} <${symbol}>`, help).default(neutral).argParser(parse);
}

export function addTextOptions(command: Command): Command {
  command
    .addOption(
      new Option("--propose <how>", "source of proposals; auto: all available ones")
        .choices(proposeValues)
        .default("auto"),
    )
    .addOption(shapeOption())
    .addOption(strideOption())
    .addOption(
      new Option(
        "--verify <mode>",
        "exact: the bytes of plain decoding; rejection: its distribution; relaxed: faster, but not lossless",
      )
        .choices(verifyValues)
        .default("exact"),
    )
    .addOption(
      new Option(
        "--tau <t>",
        "with --verify relaxed: a proposal is accepted if u < p / (t q); 1 is rejection (default: 0.5)",
      ).argParser(decimal({ min: 0, max: 1, above: true })),
    )
    .addOption(maxTokensOption(" (default: until the context is full)"))
    .addOption(
      new Option("--seed <n>", "seed of the draws, 0 to 2^53 - 1")
        .default(0)
        .argParser(integer({ min: 0, max: Number.MAX_SAFE_INTEGER })),
    );
  for (const name of samplingSettingNames) command.addOption(samplingOption(name));
  return command
    .addOption(new Option("--logit-bias <file>", 'JSON file with numbers to add to logits, by token id: {"42": -1.5}'))
    .addOption(
      new Option("--stop <string>", "stop before this string; may be given several times").argParser(collectStop),
    );
}

/** Limit of the engine. */
const MAX_STOPS = 16;

function collectStop(text: string, before: readonly string[] | undefined): readonly string[] {
  if (text === "") throw new InvalidArgumentError("Expected a string that is not empty.");
  if (before?.length === MAX_STOPS) throw new InvalidArgumentError(`Expected at most ${MAX_STOPS} of them.`);
  return [...(before ?? []), text];
}
