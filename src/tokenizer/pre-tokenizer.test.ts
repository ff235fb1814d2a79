import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { IdlmError } from "../errors.ts";
import { preTokenizerOf } from "./pre-tokenizer.ts";

interface Case {
  readonly pattern: string;
  readonly behavior: string;
  readonly invert: boolean;
  readonly texts: readonly string[];
  readonly pieces: readonly (readonly string[])[];
}

const path = join(import.meta.dirname, "..", "..", "test", "fixtures", "split-cases.json");
const cases = JSON.parse(readFileSync(path, "utf8")) as readonly Case[];

const split = (pattern: string, behavior = "Isolated", invert = false) =>
  preTokenizerOf({ type: "Split", pattern: { Regex: pattern }, behavior, invert }, "file");

/** The pieces by `tokenizers` (scripts/split-cases.py); undefined if the pattern is refused by name. */
function piecesOf({ pattern, behavior, invert, texts }: Case) {
  try {
    return texts.map(split(pattern, behavior, invert));
  } catch (error) {
    if (!(error instanceof IdlmError) || error.code !== "unsupported") throw error;
    return undefined;
  }
}

describe("splits as tokenizers does", () => {
  const all = cases.map((one) => ({ one, pieces: piecesOf(one) }));
  const supported = all.filter(({ pieces }) => pieces !== undefined);

  it.each(supported.map(({ one, pieces }) => [`${one.pattern} ${one.behavior} ${one.invert}`, one, pieces] as const))(
    "%s",
    (_, one, pieces) => {
      expect(pieces).toEqual(one.pieces);
    },
  );

  it("refuses few patterns", () => {
    expect(supported.length).toBeGreaterThan(0.85 * all.length);
  });

  it("splits by a text, too", () => {
    const json = { type: "Split", pattern: { String: "-(" }, behavior: "MergedWithPrevious", invert: false };
    expect(preTokenizerOf(json, "file")("a-(b-(-c")).toEqual(["a-(", "b-(", "-c"]);
  });
});

describe("refuses by name", () => {
  it.each([
    [String.raw`(a)\1`, String.raw`It has \1.`],
    ["(?<name>a)", "It has a group with (?<n."],
    ["(?:a*)*", "It has a repetition of what can be empty."],
    ["(?<=a++)b", "It has an atomic group in a lookbehind."],
    ["(?i:[é])", "It has other letters than a to z without regard to case."],
    ["(?i:st)", "It has st without regard to case."],
    [String.raw`\p{Nobody}`, String.raw`It has \p{Nobody}.`],
    [String.raw`\X`, String.raw`It has \X.`],
    ["(a", "It has a missing )."],
    ["a)", "It has an unmatched )."],
    ["[a", "It has a missing ]."],
    ["*a", "It has a quantifier of nothing."],
    ["(".repeat(100), "It has more than 64 nested groups."],
    ["[".repeat(100), "It has more than 16 nested classes."],
  ])("%s", (pattern, hint) => {
    expect(() => split(pattern)).toThrow(
      expect.objectContaining({ code: "unsupported", message: expect.stringContaining(hint) }),
    );
  });

  it.each([{ behavior: "Unknown" }, { pattern: {} }, { pattern: { Regex: "" } }])("%j", (change) => {
    const json = { type: "Split", pattern: { Regex: "a" }, behavior: "Isolated", invert: false, ...change };
    expect(() => preTokenizerOf(json, "file")).toThrow("this Split pre-tokenizer");
  });
});
