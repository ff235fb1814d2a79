import { IdlmError } from "../../errors.ts";
import { kindOf, parseJson, requireObject } from "../files/json.ts";
import { malformed, quote } from "../files/malformed.ts";
import { ByteFile } from "../files/map-file.ts";
import { FileTensor, findOverlap } from "../tensor/stored-tensor.ts";
import type { TensorFile } from "../tensor/tensor.ts";
import { byteLength, isSafetensorsType } from "../tensor/tensor-type.ts";

/** An opened safetensors file, or the shards of one model. */
export interface SafetensorsFile extends TensorFile {
  readonly tensors: ReadonlyMap<string, FileTensor>;
  /** The strings of `__metadata__`; of a sharded model, those of its first shard. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** The limit of the reference implementation (safetensors, `MAX_HEADER_SIZE`). */
export const MAX_HEADER_BYTES = 100_000_000;
/** u64 length of the header. */
const PREFIX_BYTES = 8;
/** {"name": {"shape": [1, 2]}} is three levels deep. A tensor takes about ten values; no model has 100,000 tensors. */
const headerLimits = { maxDepth: 4, maxValues: 1_000_000 };
const OPEN_BRACE = 0x7b;
/** PyTorch's own limit is 64; no weight has more than 5. */
const MAX_DIMENSIONS = 8;

/**
 * Opens one safetensors file and checks its whole header; data is mapped or read on first use.
 *
 * Errors: "file-missing" (with `hint`), "file-unreadable", "file-malformed", "unsupported".
 * Format: https://github.com/huggingface/safetensors#format
 */
export function openSafetensors(path: string, hint = ""): SafetensorsFile {
  return ByteFile.open(path, hint, readHeader);
}

function readHeader(file: ByteFile): SafetensorsFile {
  const { path, size } = file;
  if (size < PREFIX_BYTES)
    throw malformed(path, "length of header", `${PREFIX_BYTES} bytes`, `${size} up to the end of the file`);
  const claimed = Buffer.from(file.read(0, PREFIX_BYTES).buffer).readBigUInt64LE(0);
  const limit = Math.min(MAX_HEADER_BYTES, size - PREFIX_BYTES);
  if (claimed > BigInt(limit)) {
    throw malformed(path, "length of header", `at most ${limit} (the file has ${size} bytes)`, claimed);
  }
  const dataStart = PREFIX_BYTES + Number(claimed);
  const bytes = file.read(PREFIX_BYTES, Number(claimed));
  const header = requireObject(parseJson(bytes, path, "header", headerLimits), path, "header");
  // Required by the format: no white space and no byte order mark before it.
  if (bytes[0] !== OPEN_BRACE) throw malformed(path, "header", "{ as its first byte", "another byte");

  const tensors = new Map<string, FileTensor>();
  let metadata: ReadonlyMap<string, string> = new Map();
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") metadata = readStrings(value, path);
    else tensors.set(name, readTensor(file, name, value, dataStart));
  }
  checkCoverage(tensors, path, size - dataStart);
  return { path, files: [{ path, nBytes: size }], metadata, tensors, close: () => file.close() };
}

function readStrings(value: unknown, path: string): Map<string, string> {
  const strings = new Map<string, string>();
  for (const [key, text] of Object.entries(requireObject(value, path, "__metadata__"))) {
    if (typeof text !== "string") throw malformed(path, `__metadata__ ${quote(key)}`, "a string", kindOf(text));
    strings.set(key, text);
  }
  return strings;
}

function readTensor(file: ByteFile, name: string, value: unknown, dataStart: number): FileTensor {
  const { path } = file;
  const field = `tensor ${quote(name)}`;
  const entry = requireObject(value, path, field);
  const { dtype } = entry;
  if (typeof dtype !== "string") throw malformed(path, `${field}, dtype`, "a string", kindOf(dtype));
  if (!isSafetensorsType(dtype)) {
    throw new IdlmError("unsupported", {
      path,
      feature: `the type ${quote(dtype)} of ${field}`,
      hint: "Use F32, F16 or BF16.",
    });
  }
  const shape = readNumbers(entry.shape, path, `${field}, shape`, MAX_DIMENSIONS);
  const offsets = readNumbers(entry.data_offsets, path, `${field}, data_offsets`, 2);
  const [begin, end] = offsets;
  if (begin === undefined || end === undefined) {
    throw malformed(path, `${field}, data_offsets`, "two numbers", offsets.length);
  }
  const dataBytes = file.size - dataStart;
  if (begin > end || end > dataBytes) {
    throw malformed(path, `${field}, data_offsets`, `begin ≤ end ≤ ${dataBytes}`, `${begin}, ${end}`);
  }
  const nElements = shape.reduce((product, dimension) => product * BigInt(dimension), 1n);
  // Number() rounds only products above 2^53, which no range of a file equals.
  const nBytes = byteLength(dtype, Number(nElements));
  if (nBytes !== end - begin) {
    throw malformed(path, `${field}, data_offsets`, `${nBytes} bytes for ${dtype} [${shape.join(", ")}]`, end - begin);
  }
  return new FileTensor(file, name, dtype, shape, dataStart + begin, nBytes);
}

function readNumbers(value: unknown, path: string, field: string, maxLength: number): number[] {
  if (!Array.isArray(value)) throw malformed(path, field, "an array", kindOf(value));
  if (value.length > maxLength) throw malformed(path, field, `at most ${maxLength} numbers`, value.length);
  return value.map((number: unknown) => {
    if (typeof number !== "number" || !Number.isSafeInteger(number) || number < 0) {
      // From 2^53 on, the number that was parsed may differ from the one in the file.
      const found = typeof number === "number" && number >= 2 ** 53 ? "a larger one" : kindOf(number);
      throw malformed(path, field, "whole numbers from 0 below 2^53", found);
    }
    return number;
  });
}

/** As in the reference implementation, every byte must belong to exactly one tensor. */
function checkCoverage(tensors: ReadonlyMap<string, FileTensor>, path: string, dataBytes: number): void {
  const overlap = findOverlap(tensors.values());
  if (overlap !== undefined) {
    throw malformed(
      path,
      `tensor ${quote(overlap[1].name)}`,
      "bytes that it does not share",
      `bytes of ${quote(overlap[0].name)}`,
    );
  }
  let covered = 0;
  for (const tensor of tensors.values()) covered += tensor.nBytes;
  if (covered !== dataBytes) throw malformed(path, "data", `${covered} bytes, the sum of all tensors`, dataBytes);
}
