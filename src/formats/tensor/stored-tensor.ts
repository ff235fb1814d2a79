import type { ByteFile } from "../files/map-file.ts";
import type { StoredTensor, TensorType } from "./tensor.ts";

/** A tensor of an opened file whose bytes are mapped (or read) when they are asked for. The range has been checked. */
export class FileTensor implements StoredTensor {
  readonly name: string;
  readonly type: TensorType;
  readonly shape: readonly number[];
  /** Where it lies in the file. */
  readonly offset: number;
  readonly nBytes: number;
  readonly #file: ByteFile;

  constructor(
    file: ByteFile,
    name: string,
    type: TensorType,
    shape: readonly number[],
    offset: number,
    nBytes: number,
  ) {
    this.#file = file;
    this.name = name;
    this.type = type;
    this.shape = shape;
    this.offset = offset;
    this.nBytes = nBytes;
  }

  /** Of the file that it lies in. */
  get path(): string {
    return this.#file.path;
  }

  /** Keep what it returns: without a mapper every access reads the file again. */
  get bytes(): Uint8Array {
    return this.#file.view(this.offset, this.nBytes);
  }
}

/** The first two tensors, by offset, that share bytes; undefined where none do. */
export function findOverlap(tensors: Iterable<FileTensor>): readonly [FileTensor, FileTensor] | undefined {
  let previous: FileTensor | undefined;
  for (const tensor of [...tensors].filter((t) => t.nBytes > 0).sort((a, b) => a.offset - b.offset)) {
    if (previous !== undefined && tensor.offset < previous.offset + previous.nBytes) return [previous, tensor];
    previous = tensor;
  }
  return undefined;
}
