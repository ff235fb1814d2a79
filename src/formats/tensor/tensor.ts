/** Weight types that the backends compute with, by their names in GGUF and safetensors. */
type WeightType =
  | "F32"
  | "F16"
  | "BF16"
  | "Q4_0"
  | "Q4_1"
  | "Q5_0"
  | "Q5_1"
  | "Q8_0"
  | "Q2_K"
  | "Q3_K"
  | "Q4_K"
  | "Q5_K"
  | "Q6_K"
  | "IQ4_NL"
  | "IQ4_XS";

/** Types that files may hold and `inspect` shows, but that the backends do not compute with. */
type OtherType =
  | "F64"
  | "F8_E4M3"
  | "F8_E5M2"
  | "F8_E8M0"
  | "F6_E2M3"
  | "F6_E3M2"
  | "F4"
  | "C64"
  | "I64"
  | "I32"
  | "I16"
  | "I8"
  | "U64"
  | "U32"
  | "U16"
  | "U8"
  | "BOOL"
  | "IQ1_S"
  | "IQ1_M"
  | "IQ2_XXS"
  | "IQ2_XS"
  | "IQ2_S"
  | "IQ3_XXS"
  | "IQ3_S"
  | "TQ1_0"
  | "TQ2_0"
  | "MXFP4"
  | "NVFP4"
  | "Q1_0";

/** Element and block types of stored tensors, by their names in GGUF and safetensors. */
export type TensorType = WeightType | OtherType;

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
