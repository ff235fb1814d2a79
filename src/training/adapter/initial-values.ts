import { createHash } from "node:crypto";
import { Random, Stream } from "../random.ts";

/**
 * The values that training starts from: A and w1 uniform in ±1/√in (as PEFT has A), B and w2 zero, so that the adapter
 * changes nothing at first; MASK vectors normal with the deviation of the base's token embeddings; entry scale 1. Each
 * tensor's depend on the seed and its id only.
 */
export function initialValues(
  seed: number,
  embeddingDeviation: number,
): (id: string, rows: number, cols: number) => Float32Array<ArrayBuffer> {
  return (id, rows, cols) => {
    const values = new Float32Array(rows * cols);
    if (id === "entry_scale") return values.fill(1);
    if (id === "mask_embedding") return deviatedBy(seed, id, rows * cols, embeddingDeviation);
    const random = new Random(seed, Stream.parameters, ...wordsOf(id));
    if (!id.endsWith("lora_A") && id !== "sampler_head.w1") return values;
    const bound = 1 / Math.sqrt(cols);
    return values.map(() => (2 * random.uniform() - 1) * bound);
  };
}

/** Normal with a deviation, by seed and id. */
export function deviatedBy(seed: number, id: string, length: number, deviation: number): Float32Array<ArrayBuffer> {
  const random = new Random(seed, Stream.parameters, ...wordsOf(id));
  return new Float32Array(length).map(() => random.normal() * deviation);
}

/** Two words that differ between ids. */
function wordsOf(id: string): [number, number] {
  const digest = createHash("sha256").update(id).digest();
  return [digest.readUInt32LE(0), digest.readUInt32LE(4)];
}

/** Standard deviation of all values. */
export function deviationOf(values: Float32Array): number {
  let sum = 0;
  let squares = 0;
  for (const value of values) {
    sum += value;
    squares += value * value;
  }
  const mean = sum / values.length;
  return Math.sqrt(Math.max(0, squares / values.length - mean * mean));
}
