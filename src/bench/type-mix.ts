import { type TensorType, typeLayout } from "../formats/tensor/tensor-type.ts";
import type { ModelConfig } from "../model/config/config.ts";

/** Types of a file's matrices: the type of most matrices, `general.file_type`, and exceptions. */
interface TypeMix {
  readonly base: TensorType;
  readonly fileType: number;
  readonly exceptions?: Exceptions;
}

/** Types by the role of a matrix; undefined: the mix's base type. */
type Exceptions = Partial<
  Readonly<Record<"output" | "value" | "attentionOutput" | "down", (position: Position) => TensorType | undefined>>
>;

interface Position {
  readonly layer: number;
  readonly nLayers: number;
  /** Query heads that share one KV head. */
  readonly group: number;
}

/** The first and last eighth of the layers, and every third between (llama-quant.cpp, `use_more_bits`). */
function usesMoreBits({ layer, nLayers }: Position): boolean {
  const eighth = Math.floor(nLayers / 8);
  return layer < eighth || layer >= Math.floor((7 * nLayers) / 8) || (layer - eighth) % 3 === 2;
}

const inFirst = (part: number, { layer, nLayers }: Position) => layer < Math.floor(nLayers / part);
const output = () => "Q6_K" as const;
const medium: Exceptions = {
  output,
  value: (position) => (usesMoreBits(position) ? "Q6_K" : undefined),
  down: (position) => (usesMoreBits(position) ? "Q6_K" : undefined),
};
const iq4: Exceptions = {
  output,
  value: ({ group }) => (group >= 4 ? "Q5_K" : undefined),
  down: (position) => (inFirst(8, position) ? "Q5_K" : undefined),
};

/**
 * llama.cpp's type mixes for dense models without an importance matrix, by llama.cpp's names (llama-quant.cpp,
 * `llama_tensor_get_type`, and its fallbacks for rows that do not fill blocks of 256).
 */
const mixes = {
  F32: { base: "F32", fileType: 0 },
  F16: { base: "F16", fileType: 1 },
  BF16: { base: "BF16", fileType: 32 },
  Q4_0: { base: "Q4_0", fileType: 2, exceptions: { output } },
  Q4_1: { base: "Q4_1", fileType: 3, exceptions: { output } },
  Q5_0: { base: "Q5_0", fileType: 8, exceptions: { output } },
  Q5_1: { base: "Q5_1", fileType: 9, exceptions: { output } },
  Q8_0: { base: "Q8_0", fileType: 7 },
  Q2_K: {
    base: "Q2_K",
    fileType: 10,
    exceptions: {
      output,
      value: ({ group }) => (group >= 4 ? "Q4_K" : "Q3_K"),
      attentionOutput: () => "Q3_K",
      down: () => "Q3_K",
    },
  },
  Q3_K_S: { base: "Q3_K", fileType: 11, exceptions: { output } },
  Q3_K_M: {
    base: "Q3_K",
    fileType: 12,
    exceptions: {
      output,
      value: ({ layer }) => (layer < 2 ? "Q5_K" : "Q4_K"),
      attentionOutput: () => "Q4_K",
      down: (position) => (inFirst(16, position) ? "Q5_K" : "Q4_K"),
    },
  },
  Q3_K_L: {
    base: "Q3_K",
    fileType: 13,
    exceptions: { output, value: () => "Q5_K", attentionOutput: () => "Q5_K", down: () => "Q5_K" },
  },
  Q4_K_S: {
    base: "Q4_K",
    fileType: 14,
    exceptions: {
      output,
      value: ({ layer }) => (layer < 4 ? "Q5_K" : undefined),
      down: (position) => (inFirst(8, position) ? "Q5_K" : undefined),
    },
  },
  Q4_K_M: { base: "Q4_K", fileType: 15, exceptions: medium },
  Q5_K_S: { base: "Q5_K", fileType: 16, exceptions: { output } },
  Q5_K_M: { base: "Q5_K", fileType: 17, exceptions: medium },
  Q6_K: { base: "Q6_K", fileType: 18 },
  IQ4_NL: { base: "IQ4_NL", fileType: 25, exceptions: iq4 },
  IQ4_XS: { base: "IQ4_XS", fileType: 30, exceptions: iq4 },
} as const satisfies Readonly<Record<string, TypeMix>>;

export type TypeMixName = keyof typeof mixes;

export const typeMixNames = Object.keys(mixes) as readonly TypeMixName[];

/** `general.file_type` of a mix. */
export function fileTypeOf(mix: TypeMixName): number {
  return mixes[mix].fileType;
}

/** Types with blocks of 32, for rows that do not fill blocks of 256. */
const fallbacks: Partial<Readonly<Record<TensorType, TensorType>>> = {
  Q2_K: "IQ4_NL",
  Q3_K: "IQ4_NL",
  IQ4_XS: "IQ4_NL",
  Q4_K: "Q5_0",
  Q5_K: "Q5_1",
  Q6_K: "Q8_0",
};

const roles: Readonly<Record<string, keyof Exceptions>> = {
  attn_v: "value",
  attn_output: "attentionOutput",
  ffn_down: "down",
};

/** The type of a matrix [rows, cols] by its name in a GGUF file. */
export function typeInMix(mix: TypeMixName, name: string, cols: number, config: ModelConfig): TensorType {
  const { base, exceptions }: TypeMix = mixes[mix];
  const [, layer = "0", module = ""] = /^blk\.(\d+)\.(\w+)\.weight$/.exec(name) ?? [];
  const isOutput = name === (config.isTied ? "token_embd.weight" : "output.weight");
  const role = isOutput ? "output" : roles[module];
  const position = { layer: Number(layer), nLayers: config.nLayers, group: config.nHeads / config.nKvHeads };
  const type = (role === undefined ? undefined : exceptions?.[role]?.(position)) ?? base;
  if (cols % typeLayout(type).blockSize === 0) return type;
  const fallback = fallbacks[type] ?? "F16";
  return cols % typeLayout(fallback).blockSize === 0 ? fallback : "F16";
}
