import type { Parameter, Program } from "../../src/compute/program/program.ts";
import { toFloat32 } from "../../src/formats/tensor/dequantise.ts";

/** The same program with all weights widened to float32, without 8-bit activations and 16-bit cache. */
export function widened(program: Program): Program {
  const parameters: Record<string, Parameter> = {};
  for (const [id, parameter] of Object.entries(program.parameters)) {
    const { rows, cols, type, bytes } = parameter;
    if (type === "I32") {
      parameters[id] = parameter;
      continue;
    }
    const values = toFloat32({ name: id, type, shape: [rows, cols], bytes });
    parameters[id] = { ...parameter, type: "F32", bytes: new Uint8Array(values.buffer) };
  }
  return { ...program, parameters, cacheType: "f32" };
}
