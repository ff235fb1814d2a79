import { createHash, type Hash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { IdlmError } from "../../errors.ts";
import { readError } from "../../formats/files/file-error.ts";
import { type JsonObject, kindOf, parseJson, readJsonObject, requireObject } from "../../formats/files/json.ts";
import { malformed, quote } from "../../formats/files/malformed.ts";

/** A sequence that the model wrote part of. */
export interface TrainingRow {
  /** Source of its prompt. */
  readonly source: string;
  readonly temperature: number;
  readonly tokens: Int32Array<ArrayBuffer>;
  /** By token: 1 if the model generated it. */
  readonly isResponse: Uint8Array<ArrayBuffer>;
}

/** Which bytes of the folder's text were read: a folder that is still written to grows. */
export interface DataIdentity {
  readonly bytes: number;
  readonly sha256: string;
}

export interface TrainingData {
  readonly path: string;
  readonly identity: DataIdentity;
  readonly train: readonly TrainingRow[];
  /** Never trained on. */
  readonly heldOut: readonly TrainingRow[];
  readonly responseTokens: number;
}

/** Properties of the model that data must match. */
export interface ModelOfData {
  readonly name: string;
  readonly fingerprint: string;
  readonly vocabSize: number;
  readonly contextLength: number;
}

const MANIFEST = "manifest.json";
const TEXT = "text.jsonl";
const KIND = "idlm-training-text";
const HINT = "Write training text with idlm write.";
/** A row holds at most a context of ids and its text; contexts of 100,000 tokens take 2 MB. */
const MAX_LINE_BYTES = 64 * 1024 * 1024;
const CHUNK_BYTES = 4 * 1024 * 1024;
const NEWLINE = 10;

/**
 * Reads a folder of `idlm write`, finished or growing, as far as its manifest describes it. `begun`: the part that a
 * run started with, if the folder may have grown since; undefined if it has something else. @throws IdlmError
 * "file-missing", "file-malformed", "checksum"; "data-mismatch" for text of another model.
 */
export function readTrainingData(folder: string, model: ModelOfData): TrainingData;
export function readTrainingData(folder: string, model: ModelOfData, begun?: DataIdentity): TrainingData | undefined;
export function readTrainingData(folder: string, model: ModelOfData, begun?: DataIdentity): TrainingData | undefined {
  const text = readTextFolder(folder, begun, (json, path, field, writer) => {
    if (writer !== model.fingerprint) throw otherWriter(folder, model, writer);
    return { row: readRow(json, path, field, model), isHeldOut: isHeldOut(json, path, field) };
  });
  return text && dataOf(folder, text);
}

/** The rows of a folder by their split. @throws IdlmError "file-malformed" if there is nothing to train on. */
export function dataOf(
  folder: string,
  { identity, rows }: Pick<TextFolder<{ readonly row: TrainingRow; readonly isHeldOut: boolean }>, "identity" | "rows">,
): TrainingData {
  const split = (wanted: boolean) => rows.flatMap(({ row, isHeldOut }) => (isHeldOut === wanted ? [row] : []));
  const [train, heldOut] = [split(false), split(true)];
  const responseTokens = train.reduce((sum, { isResponse }) => sum + isResponse.reduce((a, b) => a + b, 0), 0);
  if (responseTokens === 0) {
    throw malformed(join(folder, TEXT), "rows", "at least one of split train with a response", "none");
  }
  return { path: folder, identity, train, heldOut, responseTokens };
}

/** The rows of a folder of `idlm write`. */
export interface TextFolder<T> {
  readonly identity: DataIdentity;
  /** Fingerprint of the model that wrote it. */
  readonly writer: string;
  readonly rows: readonly T[];
}

/** Reads the rows as `readTrainingData` does, whichever model wrote them. `read` is called for each row in order. */
export function readTextFolder<T>(
  folder: string,
  begun: DataIdentity | undefined,
  read: (json: JsonObject, path: string, field: string, writer: string) => T,
): TextFolder<T> | undefined {
  const { writer, ...manifest } = readManifest(join(folder, MANIFEST));
  const path = join(folder, TEXT);
  if (begun !== undefined && (begun.bytes > manifest.bytes || hashOfStart(path, begun.bytes) !== begun.sha256)) {
    return undefined;
  }
  const identity = begun ?? manifest;
  const rows: T[] = [];
  const hash = createHash("sha256");
  for (const line of linesOf(path, identity.bytes, hash)) {
    const field = `line ${rows.length + 1}`;
    rows.push(read(requireObject(parseJson(line, path, field), path, field), path, field, writer));
  }
  const found = hash.digest("hex");
  if (found !== identity.sha256) {
    throw new IdlmError("checksum", { path, algorithm: "SHA-256", found, expected: identity.sha256, hint: HINT });
  }
  return { identity, writer, rows };
}

function otherWriter(folder: string, model: ModelOfData, writer: string): IdlmError {
  return new IdlmError("data-mismatch", {
    data: folder,
    model: model.name,
    reason: `a model with the fingerprint "${writer}" wrote it, this one has "${model.fingerprint}"`,
    hint: "Let this model write text.",
  });
}

function readManifest(path: string): DataIdentity & { readonly writer: string } {
  const json = readJsonObject(path, {}, HINT);
  if (json.kind !== KIND || json.format !== 1) {
    throw malformed(path, "kind and format", `${KIND}, 1`, `${kindOf(json.kind)}, ${kindOf(json.format)}`);
  }
  const { sha256 } = requireObject(json.model, path, "model");
  if (typeof sha256 !== "string") throw malformed(path, "model.sha256", "a string", kindOf(sha256));
  const [file] = Array.isArray(json.files) ? (json.files as unknown[]) : [];
  const { name, bytes, sha256: hash } = requireObject(file, path, "files[0]");
  if (name !== TEXT) throw malformed(path, "files[0].name", quote(TEXT), kindOf(name));
  if (!Number.isSafeInteger(bytes) || (bytes as number) < 0) {
    throw malformed(path, "files[0].bytes", "a whole number", kindOf(bytes));
  }
  if (typeof hash !== "string" || !/^[0-9a-f]{64}$/.test(hash)) {
    throw malformed(path, "files[0].sha256", "64 hexadecimal digits", kindOf(hash));
  }
  return { bytes: bytes as number, sha256: hash, writer: sha256 };
}

function hashOfStart(path: string, bytes: number): string {
  const hash = createHash("sha256");
  for (const chunk of chunksOf(path, bytes)) hash.update(chunk);
  return hash.digest("hex");
}

/** The lines of the first `bytes` of a file, which the hash takes in. */
function* linesOf(path: string, bytes: number, hash: Hash): Generator<Uint8Array> {
  let kept = Buffer.alloc(0);
  for (const chunk of chunksOf(path, bytes)) {
    hash.update(chunk);
    const data = kept.length === 0 ? chunk : Buffer.concat([kept, chunk]);
    let start = 0;
    for (let end = data.indexOf(NEWLINE); end >= 0; end = data.indexOf(NEWLINE, start)) {
      yield data.subarray(start, end);
      start = end + 1;
    }
    kept = Buffer.from(data.subarray(start));
    if (kept.length > MAX_LINE_BYTES) throw malformed(path, "line", `at most ${MAX_LINE_BYTES} bytes`, "a longer one");
  }
  if (kept.length > 0) throw malformed(path, "size", `${bytes} bytes of whole lines`, "a torn line at their end");
}

function* chunksOf(path: string, bytes: number): Generator<Buffer> {
  let descriptor: number;
  try {
    descriptor = openSync(path, "r");
  } catch (error) {
    throw readError(path, error, HINT);
  }
  try {
    for (let done = 0; done < bytes; ) {
      const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, bytes - done));
      const count = readSync(descriptor, chunk, 0, chunk.length, done);
      if (count === 0) throw malformed(path, "size", `at least ${bytes} bytes, as ${MANIFEST} says`, `${done}`);
      done += count;
      yield chunk.subarray(0, count);
    }
  } catch (error) {
    throw readError(path, error);
  } finally {
    closeSync(descriptor);
  }
}

/** Source and temperature of a row. */
export function readOrigin(json: JsonObject, path: string, field: string): Pick<TrainingRow, "source" | "temperature"> {
  const { source, temperature } = json;
  if (typeof source !== "string" || source === "") throw malformed(path, `${field}, source`, "a name", kindOf(source));
  if (typeof temperature !== "number" || !(temperature >= 0)) {
    throw malformed(path, `${field}, temperature`, "a number from 0", kindOf(temperature));
  }
  return { source, temperature };
}

export function isHeldOut({ split }: JsonObject, path: string, field: string): boolean {
  if (split === "train" || split === "held-out") return split === "held-out";
  throw malformed(path, `${field}, split`, "train or held-out", kindOf(split));
}

/** The ids of a row, which its writer's tokenizer made. */
export function readRow(
  json: JsonObject,
  path: string,
  field: string,
  { vocabSize, contextLength }: Pick<ModelOfData, "vocabSize" | "contextLength">,
): TrainingRow {
  const origin = readOrigin(json, path, field);
  const tokens = wholeNumbers(json, "ids", vocabSize - 1, path, field);
  if (tokens.length > contextLength) {
    throw malformed(path, `${field}, ids`, `at most ${contextLength}, the model's context`, `${tokens.length}`);
  }
  const mask = wholeNumbers(json, "response_mask", 1, path, field);
  if (mask.length !== tokens.length) {
    throw malformed(path, `${field}, response_mask`, `${tokens.length} numbers, as many as ids`, `${mask.length}`);
  }
  return { ...origin, tokens: Int32Array.from(tokens), isResponse: Uint8Array.from(mask) };
}

function wholeNumbers(json: JsonObject, key: string, max: number, path: string, field: string): number[] {
  const values = json[key];
  const expected = `whole numbers from 0 to ${max}`;
  if (!Array.isArray(values)) throw malformed(path, `${field}, ${key}`, expected, kindOf(values));
  const wrong = values.findIndex(
    (value: unknown) => !(Number.isInteger(value) && Number(value) >= 0 && Number(value) <= max),
  );
  if (wrong >= 0) throw malformed(path, `${field}, ${key}[${wrong}]`, expected, kindOf(values[wrong]));
  return values as number[];
}
