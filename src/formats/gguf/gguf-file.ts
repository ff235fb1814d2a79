import { IdlmError } from "../../errors.ts";
import { GgufCursor } from "./gguf-cursor.ts";
import { type GgufValue, maxKeys, readMetadata } from "./gguf-metadata.ts";
import { malformed, quote } from "../files/malformed.ts";
import { ByteFile } from "../files/map-file.ts";
import { FileTensor, findOverlap } from "../tensor/stored-tensor.ts";
import type { TensorFile } from "../tensor/tensor.ts";
import { ggmlType, typeLayout } from "../tensor/tensor-type.ts";

/** An opened GGUF file, or all parts of a split one. */
export interface GgufFile extends TensorFile {
  readonly tensors: ReadonlyMap<string, FileTensor>;
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
}

const MAGIC = "GGUF";
/** Offsets of data are multiples of this unless the file says otherwise. */
const DEFAULT_ALIGNMENT = 32;
/** A page of any usual system; more would be waste, not alignment. */
const MAX_ALIGNMENT = 65_536;
/** ggml's own limit (GGML_MAX_DIMS). */
const MAX_DIMENSIONS = 4;
/** The largest published mixtures of experts have some ten thousand. */
const MAX_TENSORS = 1 << 16;
/** Empty name, no dimension: length of name, number of dimensions, type, offset. */
const MIN_TENSOR_INFO_BYTES = 8 + 4 + 4 + 8;

/**
 * Opens one GGUF file (versions 2 and 3, little-endian) and checks all of its header; data is mapped or read when asked
 * for. Shapes are turned round: [out, in], slowest dimension first. Rows of q and k stay in the file's order. A part of
 * a split model has some of the tensors only: `openGguf` opens them all.
 *
 * Errors: "file-missing" (with `hint`), "file-unreadable", "file-malformed", "unsupported".
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
export function openGgufFile(path: string, hint = ""): GgufFile {
  return ByteFile.open(path, hint, readHeader);
}

function readHeader(file: ByteFile): GgufFile {
  const { path } = file;
  const cursor = new GgufCursor(file);
  const version = readVersion(cursor, path);
  const nTensors = cursor.count(
    "tensor count",
    Math.min(MAX_TENSORS, Math.floor(cursor.remaining / MIN_TENSOR_INFO_BYTES)),
    "most tensors, and what the file can hold",
  );
  const nKeys = cursor.count("metadata count", maxKeys(cursor.remaining), "most keys, and what the file can hold");
  const metadata = readMetadata(cursor, nKeys, path);
  const alignment = readAlignment(metadata, path);
  const infos = readTensorInfos(cursor, nTensors, path);
  const dataStart = Math.ceil(cursor.position / alignment) * alignment;

  const tensors = new Map<string, FileTensor>();
  for (const info of infos) {
    const tensor = placeTensor(file, info, dataStart, alignment);
    if (tensors.has(tensor.name)) throw malformed(path, `tensor ${quote(tensor.name)}`, "once", "twice");
    tensors.set(tensor.name, tensor);
  }
  const overlap = findOverlap(tensors.values());
  if (overlap !== undefined) {
    throw malformed(path, `tensor ${quote(overlap[1].name)}`, "bytes of its own", `those of ${quote(overlap[0].name)}`);
  }
  const files = [{ path, nBytes: file.size }];
  return { path, files, version, metadata, tensors, close: () => file.close() };
}

function readVersion(cursor: GgufCursor, path: string): number {
  const magic = Buffer.from(cursor.bytes(4, "magic")).toString("latin1");
  if (magic !== MAGIC) throw malformed(path, "magic", quote(MAGIC), quote(magic));
  const version = cursor.u32("version");
  if (version >>> 24 !== 0 && (version & 0xff_ffff) === 0) {
    throw new IdlmError("unsupported", { path, feature: "big-endian GGUF", hint: "Use a little-endian file." });
  }
  if (version === 1) {
    throw new IdlmError("unsupported", {
      path,
      feature: "GGUF version 1",
      hint: "Convert it again with a current llama.cpp.",
    });
  }
  if (version !== 2 && version !== 3) throw malformed(path, "version", "2 or 3", version);
  return version;
}

function readAlignment(metadata: ReadonlyMap<string, GgufValue>, path: string): number {
  const alignment = metadata.get("general.alignment") ?? DEFAULT_ALIGNMENT;
  const isPowerOfTwo = typeof alignment === "number" && Number.isInteger(Math.log2(alignment));
  if (!isPowerOfTwo || alignment < 1 || alignment > MAX_ALIGNMENT) {
    const found = typeof alignment === "number" ? alignment : typeof alignment;
    throw malformed(path, "general.alignment", `a power of two up to ${MAX_ALIGNMENT}`, found);
  }
  return alignment;
}

interface TensorInfo {
  readonly name: string;
  /** Fastest dimension first, as in the file. */
  readonly dimensions: readonly bigint[];
  readonly typeId: number;
  /** From the start of the data. */
  readonly offset: bigint;
}

function readTensorInfos(cursor: GgufCursor, nTensors: number, path: string): TensorInfo[] {
  const infos: TensorInfo[] = [];
  for (let i = 0; i < nTensors; i++) {
    const name = cursor.string(`name of tensor ${i + 1} of ${nTensors}`);
    const field = `tensor ${quote(name)}`;
    const nDimensions = cursor.u32(`${field}, number of dimensions`);
    if (nDimensions > MAX_DIMENSIONS) {
      throw malformed(path, `${field}, number of dimensions`, `at most ${MAX_DIMENSIONS}`, nDimensions);
    }
    const dimensions: bigint[] = [];
    for (let d = 0; d < nDimensions; d++) dimensions.push(cursor.u64(`${field}, dimension ${d + 1}`));
    const typeId = cursor.u32(`${field}, type`);
    infos.push({ name, dimensions, typeId, offset: cursor.u64(`${field}, offset`) });
  }
  return infos;
}

/** Checks type, size and place of a tensor. All sums are of bigints: nothing wraps and nothing is rounded. */
function placeTensor(file: ByteFile, info: TensorInfo, dataStart: number, alignment: number): FileTensor {
  const { path, size } = file;
  const field = `tensor ${quote(info.name)}`;
  const found = ggmlType(info.typeId);
  if (found === undefined) throw malformed(path, `${field}, type`, "a type of ggml", info.typeId);
  if ("notRead" in found) {
    throw new IdlmError("unsupported", {
      path,
      feature: `the type ${found.notRead} of ${field}`,
      hint: "Convert it again with a current llama.cpp.",
    });
  }
  const { blockSize, blockBytes } = typeLayout(found.type);
  const rowLength = info.dimensions[0] ?? 1n;
  if (rowLength % BigInt(blockSize) !== 0n) {
    throw malformed(path, `${field}, row of ${found.type}`, `a multiple of ${blockSize} elements`, rowLength);
  }
  const nElements = info.dimensions.reduce((product, dimension) => product * dimension, 1n);
  const nBytes = (nElements / BigInt(blockSize)) * BigInt(blockBytes);
  const dataBytes = BigInt(Math.max(0, size - dataStart));
  if (info.offset % BigInt(alignment) !== 0n) {
    throw malformed(path, `${field}, offset`, `a multiple of ${alignment}`, info.offset);
  }
  if (info.offset + nBytes > dataBytes) {
    throw malformed(
      path,
      `${field}, ${nBytes} bytes at offset ${info.offset}`,
      "a place inside the file",
      `data of ${dataBytes} bytes`,
    );
  }
  // The product fits, but where one dimension is 0 another may still be beyond what a number holds.
  if (info.dimensions.some((dimension) => dimension > BigInt(Number.MAX_SAFE_INTEGER))) {
    throw malformed(path, `${field}, dimensions`, "numbers below 2^53", info.dimensions.join(" × "));
  }
  const shape = info.dimensions.map(Number).reverse();
  return new FileTensor(file, info.name, found.type, shape, dataStart + Number(info.offset), Number(nBytes));
}
