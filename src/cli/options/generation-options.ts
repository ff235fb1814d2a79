import { type Command, InvalidArgumentError, Option } from "commander";
import { MAX_THREADS } from "../../compute/backend.ts";
import type { GenerateRequest, Propose, Verify } from "../../index.ts";
import { shapeNames } from "../../decoding/planners/shapes.ts";
import { proposeValues } from "../../engine/request/round-options.ts";
import { decimal, integer } from "./numbers.ts";

/** Options of commands that load a model. */
export interface LoadOptions {
  readonly adapter?: string;
  readonly draftModel?: string;
  readonly context?: number;
  readonly threads?: number;
  readonly backend?: "native" | "reference";
}

/** Options of commands that write text. Absent: the library's default. */
export interface TextOptions {
  readonly propose: Propose;
  readonly shape?: NonNullable<GenerateRequest["shape"]>;
  readonly stride?: number;
  readonly verify: Verify;
  readonly tau?: number;
  readonly maxTokens?: number;
  readonly seed: number;
  readonly temperature: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
  readonly logitBias?: string;
  readonly stop?: readonly string[];
}

export const threadsOption = () =>
  new Option("--threads <n>", "threads to compute with (default: one per core)").argParser(
    integer({ min: 1, max: MAX_THREADS }),
  );

export const backendOption = () =>
  new Option("--backend <name>", "what computes (default: native, where it was built)").choices([
    "native",
    "reference",
  ]);

export const adapterOption = () =>
  new Option(
    "--adapter <dir>",
    "adapter folder or ORG/REPO for MASK rows (default: the catalogue's, for a catalogue name)",
  );

export const contextOption = (what: string) => new Option("--context <n>", what).argParser(integer({ min: 1 }));

export const strideOption = () =>
  new Option(
    "--stride <n>",
    "tokens that a forward yields at best, 1 to 8; with MASK rows at most one more than the adapter has depths (default: as the shape has it)",
  ).argParser(integer({ min: 1, max: 8 }));

export const shapeOption = () =>
  new Option(
    "--shape <form>",
    "form of a round; auto: chosen anew each time by what it measures (default: auto, chain with --stride)",
  ).choices(shapeNames);

export const maxTokensOption = (byDefault = "") =>
  new Option("--max-tokens <n>", `most tokens to write${byDefault}`).argParser(integer({ min: 1 }));

export function addLoadOptions(command: Command): Command {
  return command
    .addOption(adapterOption())
    .addOption(new Option("--draft-model <model>", "a smaller model with the same vocabulary, which drafts"))
    .addOption(
      contextOption("positions to make room for, prompt and answer (default: what the model has, within memory)"),
    )
    .addOption(threadsOption())
    .addOption(backendOption());
}

export function addTextOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--propose <how>", "where proposals come from; auto: from wherever there are any")
        .choices(proposeValues)
        .default("auto"),
    )
    .addOption(shapeOption())
    .addOption(strideOption())
    .addOption(
      new Option(
        "--verify <mode>",
        "exact: the bytes of plain decoding; rejection: its distribution; relaxed: neither, faster",
      )
        .choices(["exact", "rejection", "relaxed"])
        .default("exact"),
    )
    .addOption(
      new Option(
        "--tau <t>",
        "with --verify relaxed: a proposal stands where u < p / (t q); 1 is rejection (default: 0.5)",
      ).argParser(decimal({ min: 0, max: 1, above: true })),
    )
    .addOption(maxTokensOption(" (default: until the context is full)"))
    .addOption(
      new Option("--seed <n>", "seed of the draws, 0 to 2^53 - 1")
        .default(0)
        .argParser(integer({ min: 0, max: Number.MAX_SAFE_INTEGER })),
    )
    .addOption(
      new Option("--temperature <t>", "0: always the likeliest token").default(0).argParser(decimal({ min: 0 })),
    )
    .addOption(
      new Option("--top-k <n>", "draw from the n likeliest tokens; 0: from all").argParser(integer({ min: 0 })),
    )
    .addOption(
      new Option("--top-p <p>", "draw from the fewest tokens whose probabilities reach p; 1: from all").argParser(
        decimal({ min: 0, max: 1, above: true }),
      ),
    )
    .addOption(
      new Option("--min-p <p>", "leave out tokens below p times the largest probability; 0: none").argParser(
        decimal({ min: 0, max: 1 }),
      ),
    )
    .addOption(
      new Option("--repetition-penalty <x>", "divide the logits of tokens seen in prompt or answer; 1: off").argParser(
        decimal({ min: 0, above: true }),
      ),
    )
    .addOption(
      new Option("--presence-penalty <x>", "subtract from tokens of the answer, once; 0: off").argParser(decimal()),
    )
    .addOption(
      new Option("--frequency-penalty <x>", "subtract from tokens of the answer, per occurrence; 0: off").argParser(
        decimal(),
      ),
    )
    .addOption(new Option("--logit-bias <file>", 'JSON file with what to add to logits, by token id: {"42": -1.5}'))
    .addOption(
      new Option("--stop <string>", "end before this string; may be given several times").argParser(collectStop),
    );
}

/** As many as the engine looks for at once. */
const MAX_STOPS = 16;

function collectStop(text: string, before: readonly string[] | undefined): readonly string[] {
  if (text === "") throw new InvalidArgumentError("Expected a string that is not empty.");
  if (before?.length === MAX_STOPS) throw new InvalidArgumentError(`Expected at most ${MAX_STOPS} of them.`);
  return [...(before ?? []), text];
}
