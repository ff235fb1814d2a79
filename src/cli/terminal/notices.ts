import { DEFAULT_TAU } from "../../engine/limits.ts";
import type { LoadOptions, TextOptions } from "../options/generation-options.ts";

/** What a command that writes text was asked for. */
export interface AskedOptions extends LoadOptions, TextOptions {
  readonly logprobs?: number;
  /** Path of the text that is predicted. */
  readonly predict?: string;
  readonly json?: boolean;
}

interface Rule {
  /** Why an option has no effect; undefined: it may have one. `text`: of the file that --predict names. */
  readonly why: (options: AskedOptions, text: string | undefined) => string | undefined;
  readonly option: string;
}

/** Why nothing is proposed. */
function plainly({ propose, stride }: AskedOptions): string | undefined {
  if (propose === "none") return "with --propose none";
  return stride === 1 ? "with --stride 1" : undefined;
}

/** A proposer has no use for what another one needs. */
function unlessFor(kind: AskedOptions["propose"], options: AskedOptions): string | undefined {
  const { propose } = options;
  return plainly(options) ?? (propose === "auto" || propose === kind ? undefined : `with --propose ${propose}`);
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
        : (unlessFor("predicted", options) ?? (text === "" ? "with an empty file" : undefined)),
  },
  {
    option: "--draft-model",
    why: (options) => (options.draftModel === undefined ? undefined : unlessFor("draft", options)),
  },
  {
    option: "--stride",
    why: ({ propose, stride }) => (propose === "none" && stride !== undefined ? "with --propose none" : undefined),
  },
  {
    option: "--shape",
    why: (options) => (options.shape === undefined ? undefined : plainly(options)),
  },
  {
    // Of any other mode a tau is an error.
    option: "--tau",
    why: (options) => (options.tau === undefined || options.verify !== "relaxed" ? undefined : plainly(options)),
  },
  {
    option: "--shape quadratic",
    why: (options) => {
      const { propose, shape } = options;
      if (shape !== "quadratic" || plainly(options) !== undefined || propose === "mask" || propose === "auto") return;
      return `with --propose ${propose}, which has no MASK rows: rounds are chains`;
    },
  },
];

/** Options that do nothing, a line each. `predicted`: the text of the file that --predict names. */
export function warningsOf(options: AskedOptions, predicted?: string): string[] {
  return rules.flatMap(({ option, why }) => {
    const reason = why(options, predicted);
    return reason === undefined ? [] : [`warning: ${option} has no effect ${reason}\n`];
  });
}

/** What the reader of a text has to be told of it; JSON says it by `lossless`. */
export function notesOf({ verify, tau = DEFAULT_TAU, json }: AskedOptions): string[] {
  if (verify !== "relaxed" || json) return [];
  return [`note: relaxed verification (tau ${tau}): not lossless, the text may differ from plain decoding's\n`];
}
