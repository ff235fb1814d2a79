import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { load } from "../src/index.ts";

/**
 * Kinds of faults that people report of other engines: one folder each, with the smallest input and the right answer
 * (test/fixtures/reports).
 */
const reports = join(import.meta.dirname, "fixtures", "reports");

// biome-ignore lint/suspicious/noExplicitAny: the expected values are not validated
const json = (...path: string[]): any => JSON.parse(readFileSync(join(reports, ...path), "utf8"));

describe("what the template gives", () => {
  const kinds = [
    "02-string-methods",
    "03-break-continue",
    "05-eos-token",
    "06-special-token-variables",
    "07-line-ends",
    "08-printing",
  ];
  it.each(kinds)("%s", async (kind) => {
    const model = await load(join(reports, kind, "model"));
    const ids = await model.tokenizer?.encodeChat(json(kind, "messages.json"));
    expect(model.detokenize(ids ?? [])).toBe(json(kind, "expected.json").text);
    await model.dispose();
  });
});
