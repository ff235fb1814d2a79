import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openSafetensors } from "../safetensors/safetensors.ts";
import { type TensorToWrite, writeSafetensors } from "../safetensors/safetensors-writer.ts";
import type { StoredTensor } from "../tensor/tensor.ts";
import { floatTypes } from "../tensor/tensor-type.ts";
import { readAdapter } from "./adapter.ts";
import { quantiseInt8, readFloats } from "./int8-storage.ts";

/** Smaller matrices stay as they are: their scales and names would take the space that is saved. */
const MIN_ELEMENTS = 4096;

/**
 * Copies an adapter folder with its matrices quantised to 8 bits (see `quantiseInt8`). Configs, vectors, ids and MASK
 * embeddings stay as they are. Reads the result back to check it. Errors: those of `readAdapter`.
 */
export function quantiseAdapter(from: string, to: string): void {
  readAdapter(from);
  mkdirSync(to, { recursive: true });
  for (const name of ["adapter_config.json", "idlm_config.json"]) {
    if (existsSync(join(from, name))) writeFileSync(join(to, name), readFileSync(join(from, name)));
  }
  for (const name of ["adapter_model.safetensors", "idlm.safetensors"]) {
    if (existsSync(join(from, name))) quantiseFile(join(from, name), join(to, name));
  }
  readAdapter(to);
}

function quantiseFile(from: string, to: string): void {
  const file = openSafetensors(from);
  try {
    const written = new Map<string, TensorToWrite>();
    for (const tensor of file.tensors.values()) {
      const entries = isMatrix(tensor) ? quantise(tensor, from) : [[tensor.name, tensor] as const];
      for (const [name, entry] of entries) written.set(name, entry);
    }
    writeSafetensors(to, written, Object.fromEntries(file.metadata));
  } finally {
    file.close();
  }
}

/** MASK embeddings are excluded: they are small, and every MASK row starts from one. */
function isMatrix(tensor: StoredTensor): boolean {
  const [rows = 0, cols = 0] = tensor.shape;
  return (
    floatTypes.has(tensor.type) &&
    tensor.shape.length === 2 &&
    rows * cols >= MIN_ELEMENTS &&
    tensor.name !== "mask_embedding"
  );
}

function quantise(tensor: StoredTensor, path: string): [string, TensorToWrite][] {
  const [rows = 0, cols = 0] = tensor.shape;
  return quantiseInt8(tensor.name, readFloats(tensor, new Map(), path), rows, cols);
}
