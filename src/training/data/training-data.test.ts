import { createHash } from "node:crypto";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { madeRow, writeTrainingRows } from "../../../test/support/training-text.ts";
import { readTrainingData } from "./training-data.ts";

const folder = mkdtempSync(join(tmpdir(), "idlm-data-"));
afterAll(() => rmSync(folder, { recursive: true }));
const modelFile = join(import.meta.dirname, "../../../test/fixtures/models/llama-tiny/model.f32.gguf");
const fingerprint = createHash("sha256").update(readFileSync(modelFile)).digest("hex");
const model = { name: "llama-tiny", fingerprint, vocabSize: 320, contextLength: 64 };
const rows = [madeRow(0, 320, "train"), madeRow(1, 320, "held-out"), madeRow(2, 320, "train")];
const write = (...made: unknown[]) => writeTrainingRows(folder, modelFile, made);
const read = () => readTrainingData(folder, model);

describe("readTrainingData", () => {
  it("reads rows by split, and only what the manifest describes", () => {
    write(...rows);
    appendFileSync(join(folder, "text.jsonl"), '{"torn');
    const { train, heldOut, responseTokens } = read();
    expect(train).toHaveLength(2);
    expect(heldOut).toHaveLength(1);
    expect([...(train[0]?.tokens ?? [])]).toEqual(rows[0]?.ids);
    const counted = [rows[0], rows[2]].flatMap((row) => row?.response_mask ?? []).filter((bit) => bit === 1);
    expect(responseTokens).toBe(counted.length);
  });

  it.each([
    ["no JSON", '{"ids": [1, 2', /line 2: expected JSON/],
    [
      "an id beyond the vocabulary",
      { ...madeRow(1, 320, "train"), ids: [1, 320], response_mask: [0, 1] },
      /line 2, ids\[1\]/,
    ],
    [
      "a mask of another length",
      { ...madeRow(1, 320, "train"), response_mask: [0, 1] },
      /line 2, response_mask: expected \d+ numbers/,
    ],
    ["a mask of other numbers", { ...madeRow(1, 320, "train"), ids: [1], response_mask: [2] }, /response_mask\[0\]/],
    ["no split", { ...madeRow(1, 320, "train"), split: "test" }, /split: expected train or held-out/],
    ["no source", { ...madeRow(1, 320, "train"), source: undefined }, /source: expected a name/],
    ["more ids than the context", { ...madeRow(1, 320, "train"), ids: Array(65).fill(3) }, /at most 64/],
  ])("names the line with %s", (_, row, message) => {
    write(rows[0], row);
    expect(read).toThrow(message);
  });

  it("refuses empty data, text of another model, and text that has changed", () => {
    write();
    expect(read).toThrow(/rows: expected at least one/);
    write(rows[1]);
    expect(read).toThrow(/rows: expected at least one/);
    write(...rows);
    expect(() => readTrainingData(folder, { ...model, fingerprint: "0".repeat(64) })).toThrow(
      /does not fit the model llama-tiny: a model with the fingerprint/,
    );
    const path = join(folder, "text.jsonl");
    writeFileSync(path, readFileSync(path, "utf8").replace('"seed":0', '"seed":5'));
    expect(read).toThrow(/text\.jsonl: SHA-256 is/);
    writeFileSync(path, "");
    expect(read).toThrow(/size: expected at least \d+ bytes/);
    rmSync(join(folder, "manifest.json"));
    expect(read).toThrow(/manifest\.json: no such file/);
  });
});
