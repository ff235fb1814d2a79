import { dequantiseIq4Nl, dequantiseIq4Xs } from "./dequantise-iq4.ts";
import { dequantiseQ2K, dequantiseQ3K, dequantiseQ4K, dequantiseQ5K, dequantiseQ6K } from "./dequantise-k.ts";
import { dequantiseQ40, dequantiseQ41, dequantiseQ50, dequantiseQ51, dequantiseQ80 } from "./dequantise-q.ts";
import { bfloat16ToFloat, halfToFloat } from "./half.ts";

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

/**
 * Element and block types of stored tensors, by their names in GGUF and safetensors. `inspect` shows all of them; the
 * backends compute with `weightTypes`.
 */
const types = {
  F64: {
    blockSize: 1,
    blockBytes: 8,
    ggml: 28,
    isInSafetensors: true,
    element: (bytes, offset) => bytes.getFloat64(offset, true),
  },
  F32: { blockSize: 1, blockBytes: 4, ggml: 0, isInSafetensors: true },
  F16: {
    blockSize: 1,
    blockBytes: 2,
    ggml: 1,
    isInSafetensors: true,
    element: (bytes, offset) => halfToFloat(bytes.getUint16(offset, true)),
  },
  BF16: {
    blockSize: 1,
    blockBytes: 2,
    ggml: 30,
    isInSafetensors: true,
    element: (bytes, offset) => bfloat16ToFloat(bytes.getUint16(offset, true)),
  },
  I64: { blockSize: 1, blockBytes: 8, ggml: 27, isInSafetensors: true },
  I32: {
    blockSize: 1,
    blockBytes: 4,
    ggml: 26,
    isInSafetensors: true,
    element: (bytes, offset) => bytes.getInt32(offset, true),
  },
  I16: {
    blockSize: 1,
    blockBytes: 2,
    ggml: 25,
    isInSafetensors: true,
    element: (bytes, offset) => bytes.getInt16(offset, true),
  },
  I8: {
    blockSize: 1,
    blockBytes: 1,
    ggml: 24,
    isInSafetensors: true,
    element: (bytes, offset) => bytes.getInt8(offset),
  },
  U8: { blockSize: 1, blockBytes: 1, isInSafetensors: true, element: (bytes, offset) => bytes.getUint8(offset) },
  U64: { blockSize: 1, blockBytes: 8, isInSafetensors: true },
  U32: { blockSize: 1, blockBytes: 4, isInSafetensors: true },
  U16: { blockSize: 1, blockBytes: 2, isInSafetensors: true },
  BOOL: { blockSize: 1, blockBytes: 1, isInSafetensors: true },
  C64: { blockSize: 1, blockBytes: 8, isInSafetensors: true },
  F8_E4M3: { blockSize: 1, blockBytes: 1, isInSafetensors: true },
  F8_E5M2: { blockSize: 1, blockBytes: 1, isInSafetensors: true },
  F8_E8M0: { blockSize: 1, blockBytes: 1, isInSafetensors: true },
  // smaller than a byte: as many as fill whole bytes
  F6_E2M3: { blockSize: 4, blockBytes: 3, isInSafetensors: true },
  F6_E3M2: { blockSize: 4, blockBytes: 3, isInSafetensors: true },
  F4: { blockSize: 2, blockBytes: 1, isInSafetensors: true },
  // scale f16, then nibbles
  Q4_0: { blockSize: 32, blockBytes: 2 + 16, ggml: 2, block: dequantiseQ40, scales: { scale: 0 } },
  // scale and minimum f16, then nibbles
  Q4_1: {
    blockSize: 32,
    blockBytes: 4 + 16,
    ggml: 3,
    block: dequantiseQ41,
    scales: { scale: 0, minimum: 2, minimumOverScale: -7.5 },
  },
  // like Q4, with 32 fifth bits before the nibbles
  Q5_0: { blockSize: 32, blockBytes: 2 + 4 + 16, ggml: 6, block: dequantiseQ50, scales: { scale: 0 } },
  Q5_1: {
    blockSize: 32,
    blockBytes: 4 + 4 + 16,
    ggml: 7,
    block: dequantiseQ51,
    scales: { scale: 0, minimum: 2, minimumOverScale: -15.5 },
  },
  Q8_0: { blockSize: 32, blockBytes: 2 + 32, ggml: 8, block: dequantiseQ80, scales: { scale: 0 } },
  // K types: 256 elements in groups of 16 or 32; group scales are quantised, with one or two f16 super-scales
  Q2_K: {
    blockSize: 256,
    blockBytes: 16 + 64 + 4,
    ggml: 10,
    block: dequantiseQ2K,
    scales: { scale: 80, minimum: 82, minimumOverScale: 1.5 },
  },
  Q3_K: { blockSize: 256, blockBytes: 32 + 64 + 12 + 2, ggml: 11, block: dequantiseQ3K, scales: { scale: 108 } },
  Q4_K: {
    blockSize: 256,
    blockBytes: 4 + 12 + 128,
    ggml: 12,
    block: dequantiseQ4K,
    scales: { scale: 0, minimum: 2, minimumOverScale: 7.5 },
  },
  Q5_K: {
    blockSize: 256,
    blockBytes: 4 + 12 + 32 + 128,
    ggml: 13,
    block: dequantiseQ5K,
    scales: { scale: 0, minimum: 2, minimumOverScale: 15.5 },
  },
  Q6_K: { blockSize: 256, blockBytes: 128 + 64 + 16 + 2, ggml: 14, block: dequantiseQ6K, scales: { scale: 208 } },
  // nibbles that index a table of 16 values
  IQ4_NL: { blockSize: 32, blockBytes: 2 + 16, ggml: 20, block: dequantiseIq4Nl, scales: { scale: 0 } },
  IQ4_XS: { blockSize: 256, blockBytes: 2 + 2 + 4 + 128, ggml: 23, block: dequantiseIq4Xs, scales: { scale: 0 } },
  // below 4 bits, ternary, and 4-bit floats: only their sizes are known here
  IQ1_S: { blockSize: 256, blockBytes: 2 + 32 + 16, ggml: 19 },
  IQ1_M: { blockSize: 256, blockBytes: 32 + 16 + 8, ggml: 29 },
  IQ2_XXS: { blockSize: 256, blockBytes: 2 + 64, ggml: 16 },
  IQ2_XS: { blockSize: 256, blockBytes: 2 + 64 + 8, ggml: 17 },
  IQ2_S: { blockSize: 256, blockBytes: 2 + 64 + 16, ggml: 22 },
  IQ3_XXS: { blockSize: 256, blockBytes: 2 + 64 + 32, ggml: 18 },
  IQ3_S: { blockSize: 256, blockBytes: 2 + 64 + 32 + 8 + 4, ggml: 21 },
  TQ1_0: { blockSize: 256, blockBytes: 48 + 4 + 2, ggml: 34 },
  TQ2_0: { blockSize: 256, blockBytes: 64 + 2, ggml: 35 },
  MXFP4: { blockSize: 32, blockBytes: 1 + 16, ggml: 39 },
  NVFP4: { blockSize: 64, blockBytes: 4 + 32, ggml: 40 },
  Q1_0: { blockSize: 128, blockBytes: 2 + 16, ggml: 41 },
} as const satisfies Readonly<Record<string, TypeLayout>>;

export type TensorType = keyof typeof types;

const layouts: Readonly<Record<TensorType, TypeLayout>> = types;
const names = Object.keys(types) as TensorType[];

/** Types of a model's vectors (norms, biases). */
export const floatTypes: ReadonlySet<TensorType> = new Set(["F32", "F16", "BF16"]);

/** Types of a model's matrices that the backends compute with. */
export const weightTypes: ReadonlySet<TensorType> = new Set([
  ...floatTypes,
  ...names.filter((name) => layouts[name].block !== undefined),
]);

export function typeLayout(type: TensorType): TypeLayout {
  return layouts[type];
}

/** Bytes of `nElements` elements; undefined if they do not fill whole blocks. */
export function byteLength(type: TensorType, nElements: number): number | undefined {
  const { blockSize, blockBytes } = layouts[type];
  return nElements % blockSize === 0 ? (nElements / blockSize) * blockBytes : undefined;
}

/** Types that ggml removed, or uses only for activations. Listed so that the error can name them. */
const obsoleteGgmlTypes: Readonly<Record<number, string>> = {
  4: "Q4_2",
  5: "Q4_3",
  9: "Q8_1",
  15: "Q8_K",
  31: "Q4_0_4_4",
  32: "Q4_0_4_8",
  33: "Q4_0_8_8",
  36: "IQ4_NL_4_4",
  37: "IQ4_NL_4_8",
  38: "IQ4_NL_8_8",
};

/** The type of a ggml type number: `type`, or `obsolete` with its name; undefined for unknown numbers. */
export function ggmlType(id: number): { readonly type: TensorType } | { readonly obsolete: string } | undefined {
  const type = names.find((name) => layouts[name].ggml === id);
  if (type !== undefined) return { type };
  const obsolete = obsoleteGgmlTypes[id];
  return obsolete === undefined ? undefined : { obsolete };
}

/** The number of a type in a GGUF file; undefined if ggml has no such type. */
export function ggmlTypeId(type: TensorType): number | undefined {
  return layouts[type].ggml;
}

export function isSafetensorsType(name: string): name is TensorType {
  return Object.hasOwn(layouts, name) && layouts[name as TensorType].isInSafetensors === true;
}
