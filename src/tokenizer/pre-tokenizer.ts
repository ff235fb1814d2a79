import { IdlmError } from "../errors.ts";
import { matchesWithin, PatternError } from "../formats/files/file-pattern.ts";
import { kindOf } from "../formats/files/json.ts";
import { malformed, quote } from "../formats/files/malformed.ts";
import { PatternSyntaxError } from "./oniguruma/character-reader.ts";
import { translatePattern } from "./oniguruma/translate-pattern.ts";
import { isSplitBehavior, type SplitBehavior, splitAt } from "./split-behavior.ts";

/**
 * Splits text into the pieces within which BPE merges. Not done by `@huggingface/tokenizers` (0.2.0), which does not treat
 * ½ ² ① as digits and treats U+FEFF as white space: JavaScript's \s and \d differ from those of Rust's regexes.
 */
export type PreTokenizer = (text: string) => string[];

/** Patterns from the tokenizer.json files of published models. */
export const patterns = {
  gpt2: String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
  llama3: String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  qwen2: String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
} as const;

/** Published patterns are much shorter. */
const MAX_PATTERN_LENGTH = 4096;

/** Time limit for untrusted patterns; the known ones take less for any prompt. */
const PATTERN_TIMEOUT_MS = 2000;

/** A pattern of a tokenizer.json. @throws IdlmError "unsupported". */
function compile(pattern: string, path: string): RegExp {
  try {
    if (pattern.length > MAX_PATTERN_LENGTH) throw new Error(`longer than ${MAX_PATTERN_LENGTH} characters`);
    return new RegExp(translatePattern(pattern), "gu");
  } catch (error) {
    const reason =
      error instanceof PatternSyntaxError
        ? `It has ${error.message}.`
        : error instanceof Error
          ? error.message
          : String(error);
    throw new IdlmError("unsupported", {
      path,
      feature: `the pre-tokenizer pattern ${quote(pattern)}`,
      hint: reason.slice(0, 200),
    });
  }
}

/** Known patterns, which take time in proportion to the text. */
const trusted: ReadonlySet<string> = new Set([...Object.values(patterns), "\\p{N}", "\\p{N}+"]);

interface Split {
  readonly pattern: string;
  readonly behavior?: SplitBehavior;
  readonly invert?: boolean;
}

function splitBy({ pattern, behavior = "Isolated", invert = false }: Split, path: string): PreTokenizer {
  const regex = compile(pattern, path);
  const pieces = (text: string, matches: readonly number[]) => splitAt(text, matches, behavior, invert);
  if (trusted.has(pattern)) {
    return (text) => {
      const matches: number[] = [];
      for (const match of text.matchAll(regex)) matches.push(match.index, match[0].length);
      return pieces(text, matches);
    };
  }
  return (text) => {
    try {
      return pieces(text, matchesWithin(PATTERN_TIMEOUT_MS, regex.source, regex.flags, [text])[0] ?? []);
    } catch (error) {
      if (!(error instanceof PatternError)) throw error;
      throw malformed(path, `pre_tokenizer, pattern ${quote(pattern)}`, "a fast pattern", error.message);
    }
  };
}

type Json = Readonly<Record<string, unknown>>;

/** The `pre_tokenizer` of a tokenizer.json as a function. @throws IdlmError "unsupported" by name. */
export function preTokenizerOf(config: unknown, path: string): PreTokenizer {
  if (config == null) return (text) => [text];
  const json = config as Json;
  const unsupported = (feature: string) =>
    new IdlmError("unsupported", {
      path,
      feature,
      hint: "Supported are the byte-level BPE tokenizers of Llama 3, Qwen and GPT-2.",
    });
  switch (json.type) {
    case "Sequence": {
      const parts = json.pretokenizers;
      if (!Array.isArray(parts) || parts.length > 16) throw unsupported("this sequence of pre-tokenizers");
      const steps = parts.map((part) => preTokenizerOf(part, path));
      return (text) => steps.reduce<string[]>((pieces, step) => pieces.flatMap(step), [text]);
    }
    case "Digits":
      return splitBy({ pattern: json.individual_digits === true ? "\\p{N}" : "\\p{N}+" }, path);
    case "Split": {
      const { Regex: regex, String: text } = (json.pattern ?? {}) as Json;
      const pattern = regex ?? (typeof text === "string" ? text.replace(/[^\p{L}\p{N}]/gu, "\\$&") : undefined);
      const { behavior } = json;
      if (typeof pattern !== "string" || pattern === "" || !isSplitBehavior(behavior)) {
        throw unsupported("this Split pre-tokenizer");
      }
      return splitBy({ pattern, behavior, invert: json.invert === true }, path);
    }
    case "ByteLevel":
      if (json.add_prefix_space === true) throw unsupported("add_prefix_space");
      return json.use_regex === false ? (text) => [text] : splitBy({ pattern: patterns.gpt2 }, path);
    default:
      throw unsupported(`the pre-tokenizer ${kindOf(json.type)}`);
  }
}

/**
 * Whether texts become bytes, in the last step, for a vocabulary of bytes. Without this it has characters.
 * @throws IdlmError "unsupported" if another step follows, or with byte fallback.
 */
export function usesByteLevel(config: unknown, hasByteFallback: boolean, path: string): boolean {
  const steps = stepsOf(config);
  const at = steps.indexOf("ByteLevel");
  if (at < 0) return false;
  if (!hasByteFallback && at === steps.length - 1) return true;
  const other = hasByteFallback ? "with byte_fallback" : `before ${kindOf(steps[at + 1])}`;
  const hint = "It has to be the last step, and needs no fallback.";
  throw new IdlmError("unsupported", { path, feature: `the pre-tokenizer ByteLevel ${other}`, hint });
}

/** The types of the steps, in order. */
function stepsOf(config: unknown): readonly unknown[] {
  const { type, pretokenizers: parts } = (config ?? {}) as Json;
  if (type === "Sequence" && Array.isArray(parts)) return parts.flatMap(stepsOf);
  return config === undefined || config === null ? [] : [type];
}
