import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Random, Stream } from "../../src/training/random.ts";

/** What a folder of `idlm write` is made of, for tests. */
export interface MadeText {
  readonly model: string;
  readonly vocabSize: number;
  readonly rows: number;
  readonly heldOut: number;
}

/** A row as `idlm write` stores it. */
export interface MadeRow {
  readonly [key: string]: unknown;
  readonly ids: readonly number[];
  readonly response_mask: readonly number[];
}

/** Rows of arbitrary ids, that depend on the index only. */
export function madeRow(index: number, vocabSize: number, split: "train" | "held-out"): MadeRow {
  const random = new Random(index, Stream.order, 77);
  const promptLength = 3 + random.below(4);
  const length = promptLength + 12 + random.below(12);
  return {
    index,
    source: index % 2 === 0 ? "template" : "model",
    split,
    messages: [
      { role: "user", content: `What is number ${index}?` },
      { role: "assistant", content: `It is the number ${index}.` },
    ],
    ids: Array.from({ length }, () => 3 + random.below(Math.min(40, vocabSize - 4))),
    response_mask: Array.from({ length }, (_, i) => (i < promptLength ? 0 : 1)),
    temperature: 0,
    seed: index,
    finish: "end",
  };
}

/** Writes a folder of training text for a model file. */
export function writeTrainingText(folder: string, { model, vocabSize, rows, heldOut }: MadeText): void {
  const made = Array.from({ length: rows + heldOut }, (_, i) => madeRow(i, vocabSize, i < rows ? "train" : "held-out"));
  writeTrainingRows(folder, model, made);
}

export function writeTrainingRows(folder: string, model: string, rows: readonly unknown[]): void {
  mkdirSync(folder, { recursive: true });
  const text = Buffer.from(rows.map((row) => `${typeof row === "string" ? row : JSON.stringify(row)}\n`).join(""));
  const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
  writeFileSync(join(folder, "text.jsonl"), text);
  const files = [{ name: "text.jsonl", bytes: text.length, rows: rows.length, sha256: sha256(text) }];
  const manifest = { format: 1, kind: "idlm-training-text", model: { sha256: sha256(readFileSync(model)) }, files };
  writeFileSync(join(folder, "manifest.json"), JSON.stringify(manifest));
}
