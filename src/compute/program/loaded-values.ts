import { toFloat32 } from "../../formats/tensor/dequantise.ts";
import type { Parameter } from "./program.ts";

/** A parameter's values in float32, its rows in the order that they are used in. */
export function loadedValues(id: string, { rows, cols, type, bytes, rowOrder }: Parameter): Float32Array {
  const stored = toFloat32({ name: id, type, shape: [rows, cols], bytes });
  if (rowOrder === undefined) return stored;
  const width = rows === 1 ? 1 : cols;
  const values = new Float32Array(stored.length);
  rowOrder.forEach((from, to) => {
    values.set(stored.subarray(from * width, (from + 1) * width), to * width);
  });
  return values;
}
