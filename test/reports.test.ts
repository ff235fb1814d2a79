import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { collect } from "../src/cli/terminal/collect-io.ts";
import { load } from "../src/index.ts";

/**
 * Kinds of bugs that were reported for other engines: a folder each with a minimal input and the expected result
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

describe("ids of texts", () => {
  it.each([
    ["04-added-token-flags", "model", ["--special"]],
    ["11-add-space-prefix", "model.gguf", ["--special"]],
    ["13-unset-ids", "model.gguf", []],
    ["14-pre-tokeniser-names", "model.gguf", []],
    ["25-word-classes", "model", []],
  ])("%s", async (kind, model, flags) => {
    for (const [text, ids] of Object.entries(json(kind, "expected.json").ids)) {
      const { stdout } = await collect(["tokenize", join(reports, kind, model), text, ...flags, "--json"]);
      expect(JSON.parse(stdout).ids).toEqual(ids);
    }
  });
});

it("15-end-of-text", async () => {
  const folder = join(reports, "15-end-of-text");
  const bias = ["--logit-bias", join(folder, "bias.json")];
  const argv = ["run", join(folder, "model.gguf"), "one", "--raw", "--max-tokens", "3", ...bias, "--json"];
  const { finishReason, tokens } = json("15-end-of-text", "expected.json");
  expect(JSON.parse((await collect(argv)).stdout)).toMatchObject({ finishReason, tokens });
});
