import { iq4Types } from "./dequantise-iq4.ts";
import { kTypes } from "./dequantise-k.ts";
import { qTypes } from "./dequantise-q.ts";
import { bfloat16ToFloat, halfToFloat } from "./half.ts";
import type { TypeLayout, TypeTable } from "./type-layout.ts";

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
  // weight types; last, so that a type with an entry above is a compile error
  ...qTypes,
  ...kTypes,
  ...iq4Types,
} as const satisfies TypeTable;

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
