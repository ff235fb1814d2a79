import { shapeNames, shapes } from "../../decoding/planners/shapes.ts";
import { type ProposerKind, proposerKinds, requirementOf } from "../../decoding/proposers/registry.ts";
import { DEFAULT_TAU } from "../../engine/limits.ts";
import { optionFlag } from "../options/flag-names.ts";
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

/** The option of one proposer has no effect if another one is selected. */
function ruleOfProposer(kind: ProposerKind): Rule[] {
  const key = requirementOf(kind)?.key;
  // An adapter serves several proposers, and a grammar limits the output.
  if (key === undefined || key === "adapter" || key === "grammar") return [];
  const why = (options: GenerationOptions) => {
    const { propose } = options;
    if (options[key] === undefined) return undefined;
    return plainReason(options) ?? (propose === "auto" || propose === kind ? undefined : `with --propose ${propose}`);
  };
  return [{ option: optionFlag(key), why }];
}

const rules: readonly Rule[] = [
  {
    option: "--logprobs",
    why: ({ logprobs, json }) => (logprobs !== undefined && !json ? "without --json" : undefined),
  },
  ...proposerKinds.flatMap(ruleOfProposer),
  {
    option: "--predict",
    why: ({ predict }, text) => (predict !== undefined && text === "" ? "with an empty file" : undefined),
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
  ...shapeNames.flatMap((shape): Rule[] => {
    if (!shapes[shape].needsMaskRows) return [];
    const why = (options: GenerationOptions) => {
      const { propose } = options;
      const isChain = options.shape === shape && plainReason(options) === undefined;
      if (!isChain || propose === "mask" || propose === "auto") return undefined;
      return `with --propose ${propose}, which has no MASK rows: rounds are chains`;
    };
    return [{ option: `--shape ${shape}`, why }];
  }),
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
