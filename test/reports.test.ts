import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { collect } from "../src/cli/terminal/collect-io.ts";
import { openSafetensors } from "../src/formats/safetensors/safetensors.ts";
import { toFloat32 } from "../src/formats/tensor/dequantise.ts";
import type { StoredTensor } from "../src/formats/tensor/tensor.ts";
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

describe("logits of the last row", () => {
  const folder = mkdtempSync(join(tmpdir(), "idlm-reports-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  /** Normalised mean square error. */
  function errorOf(found: Float32Array, expected: readonly number[]): number {
    const squares = (values: readonly number[]) => values.reduce((sum, value) => sum + value * value, 0);
    return squares(expected.map((value, i) => value - (found[i] ?? Number.NaN))) / squares(expected);
  }

  async function lastRow(kind: string, model: string, more: readonly string[] = []) {
    const out = join(folder, "out.safetensors");
    const forest = ["--forest", join(reports, kind, "forest.json"), "--out", out];
    const result = await collect(["forward", join(reports, kind, model), ...forest, ...more]);
    if (result.status !== 0) return result;
    const file = openSafetensors(out);
    const logits = toFloat32(file.tensors.get("logits") as StoredTensor);
    file.close();
    return logits.slice(-64);
  }

  it.each([
    ["16-rope-factor", "model.gguf"],
    ["18-tied-head", "model"],
  ])("%s", async (kind, model) => {
    const row = await lastRow(kind, model);
    expect(errorOf(row as Float32Array, json(kind, "expected.json").last_row)).toBeLessThan(1e-6);
  });

  it("17-sliding-window is refused by name", async () => {
    expect(await lastRow("17-sliding-window", "model")).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('layer_types with "sliding_attention" is not supported'),
    });
  });

  it.each(Object.entries(json("20-peft-modules", "expected.json").last_row as Record<string, number[]>))(
    "20-peft-modules: %s",
    async (adapter, expected) => {
      const kind = "20-peft-modules";
      const mask = ["--mask-embedding", join(reports, kind, "mask.safetensors")];
      const row = await lastRow(kind, "model", ["--adapter", join(reports, kind, adapter), ...mask]);
      expect(errorOf(row as Float32Array, expected)).toBeLessThan(1e-6);
    },
  );
});
