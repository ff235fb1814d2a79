import { type Parameter, type Program, tokenMatrices } from "../../src/compute/program/program.ts";
import { toFloat32 } from "../../src/formats/tensor/dequantise.ts";
import { floatToHalf } from "../../src/formats/tensor/half.ts";

type BlockType = "Q4_0" | "Q4_1" | "Q8_0";
const blockBytes = { Q4_0: 18, Q4_1: 20, Q8_0: 34 } as const;
const GROUP = 32;

/** Floats in a block type, with scales that use the full range of integers (0 and 15, −128 and 127). */
function quantise(values: Float32Array, type: BlockType): Uint8Array {
  const bytes = new Uint8Array((values.length / GROUP) * blockBytes[type]);
  const view = new DataView(bytes.buffer);
  for (let block = 0; block * GROUP < values.length; block++) {
    const group = values.subarray(block * GROUP, (block + 1) * GROUP);
    const at = block * blockBytes[type];
    const [min, max] = [Math.min(...group), Math.max(...group)];
    const clamp = (q: number, low: number, high: number) => Math.min(Math.max(Math.round(q), low), high);
    if (type === "Q8_0") {
      const d = Math.max(max / 127, -min / 128) || 1;
      view.setUint16(at, floatToHalf(d), true);
      group.forEach((v, i) => {
        view.setInt8(at + 2 + i, clamp(v / d, -128, 127));
      });
      continue;
    }
    const d = type === "Q4_1" ? (max - min) / 15 || 1 : Math.max(max / 7, -min / 8) || 1;
    view.setUint16(at, floatToHalf(d), true);
    if (type === "Q4_1") view.setUint16(at + 2, floatToHalf(min), true);
    const q = (i: number) => {
      const v = group[i] as number;
      return type === "Q4_1" ? clamp((v - min) / d, 0, 15) : clamp(v / d + 8, 0, 15);
    };
    for (let i = 0; i < 16; i++) view.setUint8(at + (type === "Q4_1" ? 4 : 2) + i, q(i) | (q(i + 16) << 4));
  }
  return bytes;
}

/** A float program with its matrices in a block type: a quantised model of any shape, for tests. */
export function quantised(program: Program, type: BlockType, outputType: BlockType = type): Program {
  const parameters: Record<string, Parameter> = {};
  const { output } = tokenMatrices(program);
  for (const [id, weight] of Object.entries(program.parameters)) {
    const { rows, cols, bytes, origin } = weight;
    if (rows === 1 || origin === "adapter") {
      parameters[id] = weight;
      continue;
    }
    const chosen = id === output ? outputType : type;
    const values = toFloat32({ name: id, type: weight.type, shape: [rows, cols], bytes });
    parameters[id] = { ...weight, type: chosen, bytes: quantise(values, chosen) };
  }
  return { ...program, parameters, cacheType: "f16" };
}
