/** Storage layout of a type: `blockSize` elements of one row take `blockBytes` bytes. */
export interface TypeLayout {
  readonly blockSize: number;
  readonly blockBytes: number;
  /** Its number in a GGUF file (ggml.h, `enum ggml_type`); absent if ggml does not have it. */
  readonly ggml?: number;
  /** Whether safetensors files may have it. */
  readonly isInSafetensors?: boolean;
  /** Reads one element, for types with blocks of one. */
  readonly element?: (bytes: DataView, offset: number) => number;
  /**
   * Writes one block's values to `out` from `to` on. Products are exact in a double, so each value is rounded once, to
   * float32. Types that have it are weight types.
   */
  readonly block?: (block: DataView, out: Float32Array, to: number) => void;
  /** Where a block has its scales, to make random weights. */
  readonly scales?: BlockScales;
}

/** Byte offsets of a block's f16 scale and f16 minimum (minimum: added, or subtracted by the K types). */
export interface BlockScales {
  readonly scale: number;
  readonly minimum?: number;
  /** Ratio of minimum to scale for which the mean of random codes is zero. */
  readonly minimumOverScale?: number;
}

/** Types by name. */
export type TypeTable = Readonly<Record<string, TypeLayout>>;
