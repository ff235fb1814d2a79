import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { IdlmError, key, phrase } from "../../errors.ts";
import { type JsonObject, readJsonObject } from "../../formats/files/json.ts";
import { malformed } from "../../formats/files/malformed.ts";
import { writeOutput } from "../../formats/files/write-output.ts";
import type { TextTotals } from "./text-totals.ts";

export const TEXT_FILE = "text.jsonl";
export const DROPPED_FILE = "dropped.jsonl";
const MANIFEST_FILE = "manifest.json";
const KIND = "idlm-training-text";
const FORMAT = 1;

/** Everything that the text depends on: a run with the same settings can continue it. */
export interface TextSettings {
  readonly seed: number;
  /** mixed: of people, of the model and from templates; file: those of a file. */
  readonly prompts: "mixed" | "file";
  readonly max_prompt_tokens: number;
  readonly max_answer_tokens: number;
  /** Version of the numerics, as printed by `idlm doctor`. */
  readonly numerics: number;
}

/** The model that generates the text. */
export interface TextModel {
  readonly sha256: string;
  readonly architecture: string;
  readonly vocab_size: number;
}

/** manifest.json of a folder of training text. It describes the first `bytes` bytes of text.jsonl, which may have grown. */
export interface TextManifest {
  readonly model: TextModel;
  readonly settings: TextSettings & { readonly tokens: number; readonly prompts_sha256: string };
  /** Whether the requested number of tokens is reached. */
  readonly complete: boolean;
  /** Requests so far: rows and dropped ones. */
  readonly requests: number;
  readonly rows: number;
  readonly held_out_rows: number;
  /** Tokens that the model wrote. */
  readonly response_tokens: number;
  readonly sources: TextTotals["sources"];
  /** Rows by temperature. */
  readonly temperatures: TextTotals["temperatures"];
  readonly dropped: TextTotals["dropped"];
  readonly files: readonly [
    { readonly name: string; readonly bytes: number; readonly rows: number; readonly response_tokens: number } & {
      readonly sha256: string;
    },
  ];
  /** Of all the above. */
  readonly sha256: string;
}

/** Undefined: no manifest. @throws IdlmError "file-malformed". */
export function readTextManifest(folder: string): TextManifest | undefined {
  const path = join(folder, MANIFEST_FILE);
  if (!existsSync(path)) return undefined;
  const json = readJsonObject(path);
  if (json.kind !== KIND || json.format !== FORMAT)
    throw malformed(path, "kind, format", `${KIND} ${FORMAT}`, "something else: another version of idlm made it");
  const { sha256, ...rest } = json;
  if (sha256 !== hashOf(rest)) throw malformed(path, "sha256", "the hash of the other keys", "another: it was changed");
  // With a valid hash it was written by `writeTextManifest`.
  return json as unknown as TextManifest;
}

/** Replaces the manifest. It contains no times, so the same text has the same manifest. */
export function writeTextManifest(
  folder: string,
  { model, settings, complete }: Pick<TextManifest, "model" | "settings" | "complete">,
  totals: TextTotals,
  file: { readonly bytes: number; readonly sha256: string },
): void {
  const { rows, heldOutRows, responseTokens: response_tokens, nextIndex, sources, temperatures, dropped } = totals;
  const manifest: Omit<TextManifest, "sha256"> = {
    ...{ model, settings, complete, requests: nextIndex, rows, held_out_rows: heldOutRows, response_tokens },
    ...{ sources: sorted(sources), temperatures: sorted(temperatures), dropped: sorted(dropped) },
    files: [{ name: TEXT_FILE, bytes: file.bytes, rows, response_tokens, sha256: file.sha256 }],
  };
  const document = { format: FORMAT, kind: KIND, ...manifest };
  const text = `${JSON.stringify({ ...document, sha256: hashOf(document) }, null, 2)}\n`;
  writeOutput(join(folder, MANIFEST_FILE), [Buffer.from(text)]);
}

/** SHA-256 of the document without spaces. */
function hashOf(manifest: JsonObject): string {
  return createHash("sha256").update(JSON.stringify(manifest)).digest("hex");
}

function sorted<T>(counts: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(counts).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** @throws IdlmError "run-mismatch" where the folder's text was written by another model or with other settings. */
export function checkSameText(
  folder: string,
  { model, settings }: TextManifest,
  wanted: { readonly model: TextModel; readonly settings: Readonly<Partial<TextManifest["settings"]>> },
): void {
  const differ = (setting: string, found: string, expected: string) => {
    const reason = `with ${setting} ${found}, not ${expected}`;
    const hint = phrase`Name another folder (${key("out")}), or run it as it was begun.`;
    return new IdlmError("run-mismatch", { path: folder, reason, hint });
  };
  if (model.sha256 !== wanted.model.sha256) throw differ("SHA-256 of the model", model.sha256, wanted.model.sha256);
  for (const [name, value] of Object.entries(wanted.settings)) {
    const found = settings[name as keyof typeof settings];
    if (name !== "tokens" && found !== value) throw differ(name, String(found), String(value));
  }
}
