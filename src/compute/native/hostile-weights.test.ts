import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chain, fixtures } from "../../../test/support/backend-contract.ts";
import { nativeTestBinding } from "../../../test/support/native-test-binding.ts";
import { byteLength, type TensorType, weightTypes } from "../../formats/tensor/tensor-type.ts";
import { compileProgram } from "../../model/compile.ts";
import { openModel } from "../../model/open/open-model.ts";
import type { Parameter, Program } from "../program/program.ts";
import { neutralSettings } from "../sampling/settings.ts";
import { createNativeBackend, supportedInstructionSets } from "./index.ts";

/** Bytes that a file may hold: any, or those that make scales infinite, not a number, or subnormal. */
const fill = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 300 }),
  fc.constantFrom(...[0x00, 0xff, 0x7f, 0x80, 0x7c, 0xfc, 0x01].map((byte) => Uint8Array.of(byte))),
  fc.constantFrom(Uint8Array.of(0x00, 0x7c), Uint8Array.of(0x01, 0x7e), Uint8Array.of(0xff, 0xfb)),
);
const repeated = (bytes: Uint8Array, length: number) =>
  Uint8Array.from({ length }, (_, i) => bytes[i % bytes.length] as number);

/** A model of `type` whose matrices are all filled with the same bytes. */
function filled(program: Program, type: TensorType, bytes: Uint8Array): Program {
  const parameters: Record<string, Parameter> = {};
  for (const [id, parameter] of Object.entries(program.parameters)) {
    const { rows, cols } = parameter;
    const length = rows === 1 ? undefined : byteLength(type, rows * cols);
    parameters[id] = length === undefined ? parameter : { ...parameter, type, bytes: repeated(bytes, length) };
  }
  return { ...program, parameters, cacheType: "f16" };
}

describe.each([...weightTypes])("%s of any bytes", (type) => {
  it("is packed within its memory", () => {
    const shape = fc.record({ rows: fc.integer({ min: 1, max: 40 }), blocks: fc.integer({ min: 1, max: 5 }) });
    fc.assert(
      fc.property(fill, shape, (bytes, { rows, blocks }) => {
        const cols = blocks * 256;
        const stored = repeated(bytes, byteLength(type, rows * cols) as number);
        expect(nativeTestBinding().repacked(type, rows, cols, stored)).toHaveLength(rows * cols);
      }),
      { numRuns: 30 },
    );
  });

  it("is computed with: to tokens, or to the error that logits are not finite", async () => {
    const model = openModel(join(fixtures, "gguf", "tiny256-Q4_0.gguf"), "gguf");
    const program = compileProgram(model);
    const backends = supportedInstructionSets().map((instructionSet) =>
      createNativeBackend({ threads: 2, instructionSet }),
    );
    await fc.assert(
      fc.asyncProperty(fill, async (bytes) => {
        const outcomes: string[] = [];
        for (const backend of backends) {
          const loaded = await backend.load(filled(program, type, bytes));
          const cache = loaded.createCache(1);
          const sampler = loaded.createSampler({ ...neutralSettings, temperature: 1 });
          const draws = [{ row: 2, sampler, position: 3, unverified: [] }];
          const { drawn } = await loaded.forward(chain([1, 2, 3], 0, [0]), cache, { draws });
          outcomes.push(drawn[0]?.failure?.code ?? String(drawn[0]?.token));
          cache.dispose();
          loaded.dispose();
        }
        expect(outcomes.every((outcome) => outcome === "not-finite" || Number(outcome) >= 0)).toBe(true);
        expect(new Set(outcomes).size).toBe(1);
      }),
      { numRuns: 3 },
    );
    model.close();
  });
});
