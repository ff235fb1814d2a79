import { malformed } from "../files/malformed.ts";
import { openSafetensors } from "../safetensors/safetensors.ts";
import type { StoredTensor } from "../tensor/tensor.ts";
import { checkFloats, readFloats } from "./int8-storage.ts";

/** The shape of a MASK embedding. */
export interface MaskShape {
  readonly nDepths: number;
  readonly hiddenSize: number;
  /** True if one vector is used at every depth. */
  readonly sharedByDepth: boolean;
}

/** The input of MASK rows, in place of a token's embedding. */
export interface MaskEmbedding extends MaskShape {
  /** [nDepths, hiddenSize] */
  readonly values: Float32Array<ArrayBuffer>;
}

/** Reads a safetensors file with `mask_embedding`, [hidden] (for every depth) or [depth, hidden]. */
export function readMaskEmbeddingFile(path: string): MaskEmbedding {
  const file = openSafetensors(path);
  try {
    return readMaskEmbedding(file.tensors, path);
  } finally {
    file.close();
  }
}

export function readMaskEmbedding(tensors: ReadonlyMap<string, StoredTensor>, path: string): MaskEmbedding {
  const { tensor, ...shape } = findMaskEmbedding(tensors, path);
  return { values: readFloats(tensor, tensors, path), ...shape };
}

/** Like `readMaskEmbedding`, without reading the values. */
export function findMaskEmbedding(
  tensors: ReadonlyMap<string, StoredTensor>,
  path: string,
): MaskShape & { readonly tensor: StoredTensor } {
  const field = 'tensor "mask_embedding"';
  const expected = "shape [hidden] or [depth, hidden]";
  const tensor = tensors.get("mask_embedding");
  if (tensor === undefined) throw malformed(path, field, expected, "no such tensor");
  const { shape } = tensor;
  const hiddenSize = shape.at(-1) ?? 0;
  const nDepths = shape.length === 2 ? (shape[0] ?? 0) : 1;
  if (shape.length < 1 || shape.length > 2 || hiddenSize < 1 || nDepths < 1) {
    throw malformed(path, field, expected, `[${shape.join(", ")}]`);
  }
  checkFloats(tensor, tensors, path);
  return { tensor, nDepths, hiddenSize, sharedByDepth: shape.length === 1 };
}
