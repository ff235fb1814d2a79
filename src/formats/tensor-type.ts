import type { TensorType } from "./tensor.ts";

/** How a type lies in a file: `blockSize` elements of one row share `blockBytes` bytes. */
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
  BOOL: { blockSize: 1, blockBytes: 1 },
  // scale f16, then nibbles
  Q4_0: { blockSize: 32, blockBytes: 2 + 16 },
  // scale and minimum f16, then nibbles
  Q4_1: { blockSize: 32, blockBytes: 4 + 16 },
  // as Q4, with 32 fifth bits before the nibbles
  Q5_0: { blockSize: 32, blockBytes: 2 + 4 + 16 },
  Q5_1: { blockSize: 32, blockBytes: 4 + 4 + 16 },
  Q8_0: { blockSize: 32, blockBytes: 2 + 32 },
  // K types: 256 elements in groups of 16 or 32, group scales quantised under one or two f16
  Q2_K: { blockSize: 256, blockBytes: 16 + 64 + 4 },
  Q3_K: { blockSize: 256, blockBytes: 32 + 64 + 12 + 2 },
  Q4_K: { blockSize: 256, blockBytes: 4 + 12 + 128 },
  Q5_K: { blockSize: 256, blockBytes: 4 + 12 + 32 + 128 },
  Q6_K: { blockSize: 256, blockBytes: 128 + 64 + 16 + 2 },
  // nibbles that index a table of 16 values
  IQ4_NL: { blockSize: 32, blockBytes: 2 + 16 },
  IQ4_XS: { blockSize: 256, blockBytes: 2 + 2 + 4 + 128 },
};

export function typeLayout(type: TensorType): TypeLayout {
  return layouts[type];
}

/** Bytes of `nElements` elements; undefined where they do not fill whole blocks. */
export function byteLength(type: TensorType, nElements: number): number | undefined {
  const { blockSize, blockBytes } = layouts[type];
  return nElements % blockSize === 0 ? (nElements / blockSize) * blockBytes : undefined;
}

/** Types of ggml by their number in a GGUF file (ggml.h, `enum ggml_type`). */
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
  20: "IQ4_NL",
  23: "IQ4_XS",
  24: "I8",
  25: "I16",
  26: "I32",
  27: "I64",
  28: "F64",
  30: "BF16",
};

/** Types that exist in ggml but that nothing here can use: named, so that the error can name them. */
const ggmlTypesNotRead: Readonly<Record<number, string>> = {
  4: "Q4_2",
  5: "Q4_3",
  9: "Q8_1",
  15: "Q8_K",
  16: "IQ2_XXS",
  17: "IQ2_XS",
  18: "IQ3_XXS",
  19: "IQ1_S",
  21: "IQ3_S",
  22: "IQ2_S",
  29: "IQ1_M",
  34: "TQ1_0",
  35: "TQ2_0",
  39: "MXFP4",
  40: "NVFP4",
};

/** The type of a ggml type number: `type` where it is read here, else `notRead` with its name, else undefined. */
export function ggmlType(id: number): { readonly type: TensorType } | { readonly notRead: string } | undefined {
  const type = ggmlTypes[id];
  if (type !== undefined) return { type };
  const notRead = ggmlTypesNotRead[id];
  return notRead === undefined ? undefined : { notRead };
}

const ggmlIds: ReadonlyMap<TensorType, number> = new Map(
  Object.entries(ggmlTypes).map(([id, type]) => [type, Number(id)]),
);

/** The number of a type in a GGUF file; undefined where ggml has no such type. */
export function ggmlTypeId(type: TensorType): number | undefined {
  return ggmlIds.get(type);
}

/** Element types of safetensors that are read. The format has more (8-bit floats, unsigned 16 to 64 bits). */
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
]);

export function isSafetensorsType(name: string): name is TensorType {
  return safetensorsTypes.has(name);
}
