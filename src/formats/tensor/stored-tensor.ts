import type { ByteFile } from "../files/map-file.ts";
import type { StoredTensor } from "./tensor.ts";
import type { TensorType } from "./tensor-type.ts";

/** A tensor of an opened file. Its range has been checked; its bytes are mapped (or read) on use. */
export class FileTensor implements StoredTensor {
  readonly name: string;
  readonly type: TensorType;
  readonly shape: readonly number[];
  /** In bytes from the start of the file. */
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

  /** The file that holds it. */
  get path(): string {
    return this.#file.path;
  }

  /** Keep the result: without a mapper every access reads the file again. */
  get bytes(): Uint8Array {
    return this.#file.view(this.offset, this.nBytes);
  }
}

/** The first two tensors, by offset, that share bytes; undefined if none do. */
export function findOverlap(tensors: Iterable<FileTensor>): readonly [FileTensor, FileTensor] | undefined {
  let previous: FileTensor | undefined;
  for (const tensor of [...tensors].filter((t) => t.nBytes > 0).sort((a, b) => a.offset - b.offset)) {
    if (previous !== undefined && tensor.offset < previous.offset + previous.nBytes) return [previous, tensor];
    previous = tensor;
  }
  return undefined;
}
