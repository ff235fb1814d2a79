import type { Program, Weight } from "../../src/compute/program/program.ts";
import { toFloat32 } from "../../src/formats/tensor/dequantise.ts";

/** The same program with every weight widened to float32: the model without 8-bit activations or a 16-bit cache. */
export function widened(program: Program): Program {
  const weights: Record<string, Weight> = {};
  for (const [id, weight] of Object.entries(program.weights)) {
    const { rows, cols, type, bytes } = weight;
    const values = toFloat32({ name: id, type, shape: [rows, cols], bytes });
    weights[id] = { ...weight, type: "F32", bytes: new Uint8Array(values.buffer) };
  }
  return { ...program, weights, cacheType: "f32" };
}
