import { IdlmError } from "../../errors.ts";
import { malformed, quote } from "../files/malformed.ts";
import { ByteFile } from "../files/map-file.ts";
import { FileTensor, findOverlap } from "../tensor/stored-tensor.ts";
import type { TensorFile } from "../tensor/tensor.ts";
import { ggmlType, typeLayout } from "../tensor/tensor-type.ts";
import { GgufCursor } from "./gguf-cursor.ts";
import { type GgufValue, maxKeys, readMetadata } from "./gguf-metadata.ts";

/** An opened GGUF file, or all parts of a split one. */
export interface GgufFile extends TensorFile {
  readonly tensors: ReadonlyMap<string, FileTensor>;
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
}

const MAGIC = "GGUF";
/** Data offsets are multiples of this by default. */
const DEFAULT_ALIGNMENT = 32;
/** The largest common page size. */
const MAX_ALIGNMENT = 65_536;
/** ggml's own limit (GGML_MAX_DIMS). */
const MAX_DIMENSIONS = 4;
/** The largest published mixture-of-experts models have about ten thousand. */
const MAX_TENSORS = 1 << 16;
/** With an empty name and no dimensions: name length, number of dimensions, type, offset. */
const MIN_TENSOR_INFO_BYTES = 8 + 4 + 4 + 8;

/**
 * Opens one GGUF file (version 2 or 3, little-endian) and checks its whole header; data is mapped or read on first use.
 * Shapes are reversed: [out, in], slowest dimension first. Rows of q and k keep the file's order. A part of a split model
 * has only some of the tensors: `openGguf` opens all parts.
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
    "the limit on tensors, and what fits into the file",
  );
  const nKeys = cursor.count(
    "metadata count",
    maxKeys(cursor.remaining),
    "the limit on keys, and what fits into the file",
  );
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
    throw malformed(
      path,
      `tensor ${quote(overlap[1].name)}`,
      "bytes that it does not share",
      `bytes of ${quote(overlap[0].name)}`,
    );
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

/** Checks the type, size and position of a tensor, in bigints so that nothing overflows or is rounded. */
function placeTensor(file: ByteFile, info: TensorInfo, dataStart: number, alignment: number): FileTensor {
  const { path, size } = file;
  const field = `tensor ${quote(info.name)}`;
  const found = ggmlType(info.typeId);
  if (found === undefined) throw malformed(path, `${field}, type`, "a type number of ggml", info.typeId);
  if ("obsolete" in found) {
    throw new IdlmError("unsupported", {
      path,
      feature: `the type ${found.obsolete} of ${field}`,
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
      "a range inside the file",
      `data of ${dataBytes} bytes`,
    );
  }
  // The product fits, but if one dimension is 0, another may still exceed the safe integers.
  if (info.dimensions.some((dimension) => dimension > BigInt(Number.MAX_SAFE_INTEGER))) {
    throw malformed(path, `${field}, dimensions`, "numbers below 2^53", info.dimensions.join(" × "));
  }
  const shape = info.dimensions.map(Number).reverse();
  return new FileTensor(file, info.name, found.type, shape, dataStart + Number(info.offset), Number(nBytes));
}
