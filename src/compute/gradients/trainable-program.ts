import { loadedValues } from "../program/loaded-values.ts";
import type { Parameter, Program } from "../program/program.ts";
import { checkFullProgram } from "./training-forests.ts";

/**
 * A program whose parameters are all float32 and trained. @throws IdlmError "usage" if its weights cannot be trained: they
 * are quantised, or there is an adapter.
 */
export function trainableProgram(program: Program): Program {
  checkFullProgram(program);
  const parameters: Record<string, Parameter> = {};
  for (const [id, parameter] of Object.entries(program.parameters)) {
    const { buffer, byteOffset, byteLength } = loadedValues(id, parameter);
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    const { rows, cols } = parameter;
    parameters[id] = { rows, cols, type: "F32", bytes, origin: "base", isTrainable: true };
  }
  return { ...program, parameters, cacheType: "f32" };
}
