import { DEFAULT_TAU } from "../../engine/limits.ts";
import type { LoadOptions, TextOptions } from "../options/generation-options.ts";

/** Options of a command that generates text. */
export interface GenerationOptions extends LoadOptions, TextOptions {
  readonly logprobs?: number;
  /** Path of the predicted output. */
  readonly predict?: string;
  readonly json?: boolean;
}

interface Rule {
  /** Why the option has no effect; undefined if it may have one. `text`: content of the file of --predict. */
  readonly why: (options: GenerationOptions, text: string | undefined) => string | undefined;
  readonly option: string;
}

/** The option because of which nothing is proposed. */
function plainReason({ propose, stride }: GenerationOptions): string | undefined {
  if (propose === "none") return "with --propose none";
  return stride === 1 ? "with --stride 1" : undefined;
}

/** Why an option of one proposer has no effect with the selected one. */
function unusedReason(kind: GenerationOptions["propose"], options: GenerationOptions): string | undefined {
  const { propose } = options;
  return plainReason(options) ?? (propose === "auto" || propose === kind ? undefined : `with --propose ${propose}`);
}

const rules: readonly Rule[] = [
  {
    option: "--logprobs",
    why: ({ logprobs, json }) => (logprobs !== undefined && !json ? "without --json" : undefined),
  },
  {
    option: "--predict",
    why: (options, text) =>
      options.predict === undefined
        ? undefined
        : (unusedReason("predicted", options) ?? (text === "" ? "with an empty file" : undefined)),
  },
  {
    option: "--draft-model",
    why: (options) => (options.draftModel === undefined ? undefined : unusedReason("draft", options)),
  },
  {
    option: "--stride",
    why: ({ propose, stride }) => (propose === "none" && stride !== undefined ? "with --propose none" : undefined),
  },
  {
    option: "--shape",
    why: (options) => (options.shape === undefined ? undefined : plainReason(options)),
  },
  {
    // In other modes, tau is an error.
    option: "--tau",
    why: (options) => (options.tau === undefined || options.verify !== "relaxed" ? undefined : plainReason(options)),
  },
  {
    option: "--shape quadratic",
    why: (options) => {
      const { propose, shape } = options;
      if (shape !== "quadratic" || plainReason(options) !== undefined || propose === "mask" || propose === "auto")
        return;
      return `with --propose ${propose}, which has no MASK rows: rounds are chains`;
    },
  },
];

/** Warnings of options without effect, one line each. `predicted`: content of the file of --predict. */
export function warningsOf(options: GenerationOptions, predicted?: string): string[] {
  return rules.flatMap(({ option, why }) => {
    const reason = why(options, predicted);
    return reason === undefined ? [] : [`warning: ${option} has no effect ${reason}\n`];
  });
}

/** Notes about the output; JSON has the key `lossless` instead. */
export function notesOf({ verify, tau = DEFAULT_TAU, json }: GenerationOptions): string[] {
  if (verify !== "relaxed" || json) return [];
  return [`note: relaxed verification (tau ${tau}): not lossless, the text may differ from plain decoding's\n`];
}
