import { basename, dirname } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { malformed, quote } from "../files/malformed.ts";
import { fileInFolder } from "../files/model-folder.ts";
import type { FileTensor } from "../tensor/stored-tensor.ts";
import { type GgufFile, openGgufFile } from "./gguf-file.ts";
import { describeValue } from "./gguf-metadata.ts";

export type { GgufFile } from "./gguf-file.ts";
export { describeValue, type GgufValue } from "./gguf-metadata.ts";

/** Published models of 700 GB have fewer than 200 parts; each keeps a file open. */
const MAX_PARTS = 1000;

const partName = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/s;
/** Keys that may differ between parts. */
const ownKey = /^split\.|^general\.alignment$/;

/** The keys `split.no`, `split.count` and `split.tensors.count` of a part. */
interface Split {
  /** From 0. */
  readonly index: number;
  readonly count: number;
  /** In all parts together. */
  readonly nTensors: number;
}

/**
 * Opens a GGUF model: a single file, or all parts of a split one (`NAME-00001-of-00003.gguf`, in one folder), whichever
 * part `path` names. The path and metadata of a split model are those of its first part.
 *
 * Errors: those of `openGgufFile`; "file-missing" for a missing part, "file-malformed" for parts that do not match.
 */
export function openGguf(path: string): GgufFile {
  const named = openGgufFile(path);
  const parts: GgufFile[] = [named];
  try {
    const split = readSplit(named);
    if (split === undefined) return named;
    const prefix = split.count === 1 ? "" : checkName(path, split);
    const ordered = Array.from({ length: split.count }, (_, index) => {
      if (index === split.index) return named;
      const name = `${prefix}-${number(index + 1)}-of-${number(split.count)}.gguf`;
      const hint = `${basename(path)} is one of ${split.count} parts; this is part ${index + 1}.`;
      const part = openGgufFile(fileInFolder(dirname(path), name), hint);
      parts.push(part);
      checkPart(part, index, split, basename(path));
      return part;
    });
    return joinParts(ordered, split);
  } catch (error) {
    for (const part of parts) part.close();
    throw error;
  }
}

function number(value: number): string {
  return String(value).padStart(5, "0");
}

function readSplit({ metadata, path }: GgufFile): Split | undefined {
  if (![...metadata.keys()].some((key) => key.startsWith("split."))) return undefined;
  const whole = (key: string, min: number, max: number): number => {
    const value = metadata.get(key);
    if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
      throw malformed(path, key, `a whole number from ${min} to ${max}`, describeValue(value));
    }
    return value;
  };
  const count = whole("split.count", 1, MAX_PARTS);
  // A file that was split into one part may have no other split keys.
  if (count === 1 && !metadata.has("split.no")) return undefined;
  const index = whole("split.no", 0, count - 1);
  return { index, count, nTensors: whole("split.tensors.count", 0, Number.MAX_SAFE_INTEGER) };
}

/** Checks a part's file name; returns the prefix that all parts share. */
function checkName(path: string, { index, count }: Split): string {
  const [, prefix, no, of] = partName.exec(basename(path)) ?? [];
  if (prefix === undefined || Number(no) !== index + 1 || Number(of) !== count) {
    const expected = `…-${number(index + 1)}-of-${number(count)}.gguf, as split.no and split.count say`;
    throw malformed(path, "name of the file", expected, quote(basename(path)));
  }
  return prefix;
}

function checkPart(part: GgufFile, index: number, expected: Split, named: string): void {
  const { path } = part;
  const split = readSplit(part);
  if (split === undefined) throw malformed(path, "split.count", `${expected.count}, as in ${quote(named)}`, "nothing");
  if (split.count !== expected.count) {
    throw malformed(path, "split.count", `${expected.count}, as in ${quote(named)}`, split.count);
  }
  if (split.index !== index) throw malformed(path, "split.no", `${index}, as its name says`, split.index);
  if (split.nTensors !== expected.nTensors) {
    throw malformed(path, "split.tensors.count", `${expected.nTensors}, as in ${quote(named)}`, split.nTensors);
  }
}

function joinParts(parts: readonly GgufFile[], { nTensors }: Split): GgufFile {
  const [first, ...others] = parts;
  if (first === undefined) throw new RangeError("a split model without parts");
  const { path, version, metadata } = first;
  for (const part of others) {
    for (const [key, value] of part.metadata) {
      const expected = metadata.get(key);
      if (expected === undefined || ownKey.test(key) || isDeepStrictEqual(value, expected)) continue;
      const field = `metadata ${quote(key)}`;
      throw malformed(
        part.path,
        field,
        `${describeValue(expected)}, as in ${quote(basename(path))}`,
        describeValue(value),
      );
    }
  }
  const tensors = new Map<string, FileTensor>();
  for (const part of parts) {
    for (const [name, tensor] of part.tensors) {
      if (tensors.has(name)) throw malformed(part.path, `tensor ${quote(name)}`, "once in all parts", "twice");
      tensors.set(name, tensor);
    }
  }
  if (tensors.size !== nTensors) {
    throw malformed(path, "split.tensors.count", `${tensors.size}, the tensors of all parts`, nTensors);
  }
  const close = () => {
    for (const part of parts) part.close();
  };
  const files = parts.flatMap((part) => part.files);
  return { path, version, metadata, tensors, files, close };
}
