import type { TensorType } from "./tensor-type.ts";

/**
 * A tensor as stored in a file. `shape` is row-major, slowest dimension first ([out, in] for a linear layer, whatever the
 * file's order). `bytes` is a view of the (mapped) file, valid until the file is closed; its length has been checked
 * against type and shape.
 */
export interface StoredTensor {
  readonly name: string;
  readonly type: TensorType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** An opened file (or set of shards) of tensors. All sizes have been checked. */
export interface TensorFile {
  readonly path: string;
  /** One file, or several for shards and for a split GGUF. */
  readonly files: readonly StoredFile[];
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Unmaps the file. Views of it must not be used afterwards. */
  close(): void;
}

export interface StoredFile {
  readonly path: string;
  readonly nBytes: number;
}
