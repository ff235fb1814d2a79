import { execFileSync, spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { collect } from "../src/cli/terminal/collect-io.ts";
import { openSafetensors } from "../src/formats/safetensors/safetensors.ts";
import { toFloat32 } from "../src/formats/tensor/dequantise.ts";
import type { StoredTensor } from "../src/formats/tensor/tensor.ts";
import { bundleCli } from "./support/cli-process.ts";
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
    ["17-sliding-window", "model"],
    ["18-tied-head", "model"],
  ])("%s", async (kind, model) => {
    const row = await lastRow(kind, model);
    expect(errorOf(row as Float32Array, json(kind, "expected.json").last_row)).toBeLessThan(1e-6);
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

describe("answers of the OpenAI API", () => {
  const folder = mkdtempSync(join(tmpdir(), "idlm-reports-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  async function answersOf(kind: string, model: string, out = "out.jsonl") {
    const path = join(folder, out);
    await collect(["batch", join(reports, kind, model), "--in", join(reports, kind, "in.jsonl"), "--out", path]);
    const lines = readFileSync(path, "utf8").trim().split("\n");
    const answers = lines.map((line) => JSON.parse(line));
    return new Map(answers.map(({ custom_id: id, response }) => [id as string, response]));
  }

  it("22-null-and-name", async () => {
    const answers = await answersOf("22-null-and-name", "model.gguf", "22.jsonl");
    const [plain] = [...answers.values()].map(({ body }) => body.choices[0].message.content);
    expect(answers.size).toBe(3);
    for (const { status_code: status, body } of answers.values()) {
      expect(status).toBe(200);
      expect(body.choices[0].message.content).toBe(plain);
    }
  });

  it("23-legal-values", async () => {
    const [first, again] = [
      await answersOf("23-legal-values", "model.gguf", "23a.jsonl"),
      await answersOf("23-legal-values", "model.gguf", "23b.jsonl"),
    ];
    expect(first.get("seed").status_code).toBe(200);
    expect(first.get("seed").body.choices).toEqual(again.get("seed").body.choices);
    expect(first.get("max_tokens")).toMatchObject({
      status_code: 200,
      body: { choices: [{ text: "", finish_reason: "length" }], usage: { completion_tokens: 0 } },
    });
  });

  it("24-completion-logprobs", async () => {
    const answers = await answersOf("24-completion-logprobs", "model", "24.jsonl");
    const [choice] = answers.get("half").body.choices;
    const { text, steps } = json("24-completion-logprobs", "expected.json");
    expect(choice.text).toBe(text);
    const { tokens, token_logprobs: chosen, top_logprobs: top, text_offset: offsets } = choice.logprobs;
    expect(tokens).toEqual(["bytes:\\xd4", "bytes:\\xb1", "e", "bytes:\\xd4", "bytes:\\xb1", "e"]);
    expect(offsets).toEqual([0, 0, 1, 2, 2, 3]);
    for (const [i, step] of steps.entries()) {
      const expected = Object.values(step.top as Record<string, number>).sort((a, b) => b - a);
      expect(Object.keys(top[i])).toHaveLength(5);
      expect(top[i][tokens[i]]).toBe(chosen[i]);
      const found = Object.values(top[i] as Record<string, number>).sort((a, b) => b - a);
      for (const [j, value] of found.entries()) expect(value).toBeCloseTo(expected[j] ?? 0, 3);
    }
  });
});

describe.skipIf(process.getuid?.() !== 0)("28-full-disk (needs root, to make a device)", () => {
  let main = "";
  const folder = mkdtempSync(join(tmpdir(), "idlm-reports-"));
  const full = join(folder, "full");
  beforeAll(async () => {
    main = await bundleCli();
    execFileSync("mknod", [full, "c", "1", "7"]);
  }, 60_000);
  afterAll(() => {
    rmSync(folder, { recursive: true });
    rmSync(dirname(main), { recursive: true });
  });
  const model = join(reports, "15-end-of-text", "model.gguf");
  const { status } = json("28-full-disk", "expected.json");

  it.each([[[]], [["--quiet"]]])("standard output %j", (flags) => {
    const out = openSync(full, "w");
    const argv = [main, "run", model, "one", "--raw", "--max-tokens", "3", ...flags];
    const result = spawnSync(process.execPath, argv, { stdio: ["ignore", out, "pipe"], encoding: "utf8" });
    closeSync(out);
    expect(result.stderr).toMatch(/standard output: cannot be written: .*no space left on device/i);
    expect(result.stderr).not.toMatch(/^\s+at /m);
    expect(result.status).toBe(status);
  });

  it("a file, which stays a device", () => {
    const forest = join(reports, "16-rope-factor", "forest.json");
    const argv = [main, "forward", join(reports, "16-rope-factor", "model.gguf"), "--forest", forest, "--out", full];
    const result = spawnSync(process.execPath, argv, { encoding: "utf8" });
    expect(result).toMatchObject({ status, stderr: expect.stringMatching(/full: cannot be written: .*no space/i) });
    expect(statSync(full).isCharacterDevice()).toBe(true);
  });
});
