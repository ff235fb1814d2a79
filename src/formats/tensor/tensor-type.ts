import type { TensorType } from "./tensor.ts";

/** Storage layout of a type: `blockSize` elements of one row take `blockBytes` bytes. */
export interface TypeLayout {
  readonly blockSize: number;
  readonly blockBytes: number;
}

const layouts: Readonly<Record<TensorType, TypeLayout>> = {
  F64: { blockSize: 1, blockBytes: 8 },
  F32: { blockSize: 1, blockBytes: 4 },
  F16: { blockSize: 1, blockBytes: 2 },
  BF16: { blockSize: 1, blockBytes: 2 },
  I64: { blockSize: 1, blockBytes: 8 },
  I32: { blockSize: 1, blockBytes: 4 },
  I16: { blockSize: 1, blockBytes: 2 },
  I8: { blockSize: 1, blockBytes: 1 },
  U8: { blockSize: 1, blockBytes: 1 },
  U64: { blockSize: 1, blockBytes: 8 },
  U32: { blockSize: 1, blockBytes: 4 },
  U16: { blockSize: 1, blockBytes: 2 },
  BOOL: { blockSize: 1, blockBytes: 1 },
  C64: { blockSize: 1, blockBytes: 8 },
  F8_E4M3: { blockSize: 1, blockBytes: 1 },
  F8_E5M2: { blockSize: 1, blockBytes: 1 },
  F8_E8M0: { blockSize: 1, blockBytes: 1 },
  // smaller than a byte: as many as fill whole bytes
  F6_E2M3: { blockSize: 4, blockBytes: 3 },
  F6_E3M2: { blockSize: 4, blockBytes: 3 },
  F4: { blockSize: 2, blockBytes: 1 },
  // scale f16, then nibbles
  Q4_0: { blockSize: 32, blockBytes: 2 + 16 },
  // scale and minimum f16, then nibbles
  Q4_1: { blockSize: 32, blockBytes: 4 + 16 },
  // like Q4, with 32 fifth bits before the nibbles
  Q5_0: { blockSize: 32, blockBytes: 2 + 4 + 16 },
  Q5_1: { blockSize: 32, blockBytes: 4 + 4 + 16 },
  Q8_0: { blockSize: 32, blockBytes: 2 + 32 },
  // K types: 256 elements in groups of 16 or 32; group scales are quantised, with one or two f16 super-scales
  Q2_K: { blockSize: 256, blockBytes: 16 + 64 + 4 },
  Q3_K: { blockSize: 256, blockBytes: 32 + 64 + 12 + 2 },
  Q4_K: { blockSize: 256, blockBytes: 4 + 12 + 128 },
  Q5_K: { blockSize: 256, blockBytes: 4 + 12 + 32 + 128 },
  Q6_K: { blockSize: 256, blockBytes: 128 + 64 + 16 + 2 },
  // nibbles that index a table of 16 values
  IQ4_NL: { blockSize: 32, blockBytes: 2 + 16 },
  IQ4_XS: { blockSize: 256, blockBytes: 2 + 2 + 4 + 128 },
  // below 4 bits, ternary, and 4-bit floats: only their sizes are known here
  IQ1_S: { blockSize: 256, blockBytes: 2 + 32 + 16 },
  IQ1_M: { blockSize: 256, blockBytes: 32 + 16 + 8 },
  IQ2_XXS: { blockSize: 256, blockBytes: 2 + 64 },
  IQ2_XS: { blockSize: 256, blockBytes: 2 + 64 + 8 },
  IQ2_S: { blockSize: 256, blockBytes: 2 + 64 + 16 },
  IQ3_XXS: { blockSize: 256, blockBytes: 2 + 64 + 32 },
  IQ3_S: { blockSize: 256, blockBytes: 2 + 64 + 32 + 8 + 4 },
  TQ1_0: { blockSize: 256, blockBytes: 48 + 4 + 2 },
  TQ2_0: { blockSize: 256, blockBytes: 64 + 2 },
  MXFP4: { blockSize: 32, blockBytes: 1 + 16 },
  NVFP4: { blockSize: 64, blockBytes: 4 + 32 },
  Q1_0: { blockSize: 128, blockBytes: 2 + 16 },
};

/** Types of a model's vectors (norms, biases). */
export const floatTypes: ReadonlySet<TensorType> = new Set(["F32", "F16", "BF16"]);

/** Types of a model's matrices that the backends compute with. */
export const weightTypes: ReadonlySet<TensorType> = new Set([
  ...floatTypes,
  ...(["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL", "IQ4_XS"] as const),
  ...(["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"] as const),
]);

export function typeLayout(type: TensorType): TypeLayout {
  return layouts[type];
}

/** Bytes of `nElements` elements; undefined if they do not fill whole blocks. */
export function byteLength(type: TensorType, nElements: number): number | undefined {
  const { blockSize, blockBytes } = layouts[type];
  return nElements % blockSize === 0 ? (nElements / blockSize) * blockBytes : undefined;
}

/** ggml's types by their number in a GGUF file (ggml.h, `enum ggml_type`). */
const ggmlTypes: Readonly<Record<number, TensorType>> = {
  0: "F32",
  1: "F16",
  2: "Q4_0",
  3: "Q4_1",
  6: "Q5_0",
  7: "Q5_1",
  8: "Q8_0",
  10: "Q2_K",
  11: "Q3_K",
  12: "Q4_K",
  13: "Q5_K",
  14: "Q6_K",
  16: "IQ2_XXS",
  17: "IQ2_XS",
  18: "IQ3_XXS",
  19: "IQ1_S",
  20: "IQ4_NL",
  21: "IQ3_S",
  22: "IQ2_S",
  23: "IQ4_XS",
  24: "I8",
  25: "I16",
  26: "I32",
  27: "I64",
  28: "F64",
  29: "IQ1_M",
  30: "BF16",
  34: "TQ1_0",
  35: "TQ2_0",
  39: "MXFP4",
  40: "NVFP4",
  41: "Q1_0",
};

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
  const type = ggmlTypes[id];
  if (type !== undefined) return { type };
  const obsolete = obsoleteGgmlTypes[id];
  return obsolete === undefined ? undefined : { obsolete };
}

const ggmlIds: ReadonlyMap<TensorType, number> = new Map(
  Object.entries(ggmlTypes).map(([id, type]) => [type, Number(id)]),
);

/** The number of a type in a GGUF file; undefined if ggml has no such type. */
export function ggmlTypeId(type: TensorType): number | undefined {
  return ggmlIds.get(type);
}

/** Element types of safetensors. */
const safetensorsTypes: ReadonlySet<string> = new Set<TensorType>([
  "F64",
  "F32",
  "F16",
  "BF16",
  "I64",
  "I32",
  "I16",
  "I8",
  "U8",
  "BOOL",
  ...(["U64", "U32", "U16", "C64", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F6_E2M3", "F6_E3M2", "F4"] as const),
]);

export function isSafetensorsType(name: string): name is TensorType {
  return safetensorsTypes.has(name);
}
