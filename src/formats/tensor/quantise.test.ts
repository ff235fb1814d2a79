import { existsSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { openGguf } from "../gguf/gguf.ts";
import { dequantise, toFloat32 } from "./dequantise.ts";
import { quantise } from "./quantise.ts";

const shared = join(import.meta.dirname, "../../../../shared/fixtures/gguf");

/** A block of values that a half can hold. */
const values = fc.array(fc.float({ min: -60_000, max: 60_000, noNaN: true }), { minLength: 32, maxLength: 32 });

describe("quantise", () => {
  it.each([
    // Halves are rounded away from zero, and the largest value's code is 127.
    [
      [127, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 126.5, -126.5, 0.49999997, -0.49999997, 0, -0, 3.3, 1e-8, -127],
      (i: number) => i * 7.31 - 60,
      "003c7f01ff02fe03fd7f8100000000030081c4cbd3dae1e9f0f7fe060d141c232a32",
    ],
    [
      [],
      (i: number) => (((i * 37) % 64) - 31.7) * 0.0123,
      "4a1a8115a93dd165f98d21b549dd7105992dc155e97d11a539cd61f5891db145d96d",
    ],
    [[], () => 0, "00".repeat(34)],
  ])("stores a block of Q8_0 with the bits of ggml (%#)", (first, rest, bytes) => {
    const block = Float32Array.from({ length: 32 }, (_, i) => first[i] ?? rest(i - first.length));
    expect(Buffer.from(quantise("Q8_0", block)).toString("hex")).toBe(bytes);
  });

  describe.skipIf(!existsSync(shared))("with models that ggml quantised (skipped without ../shared)", () => {
    it.each(["tiny-qwen2", "tiny-qwen3", "tiny-llama31rope"])("gives the bits of %s", (name) => {
      const [floats, quantised] = ["F32", "Q8_0"].map((type) => openGguf(join(shared, `${name}-${type}.gguf`)));
      let count = 0;
      for (const [tensor, { type, bytes }] of quantised?.tensors ?? []) {
        const from = floats?.tensors.get(tensor) ?? expect.fail();
        if (type !== "Q8_0") continue;
        expect(Buffer.compare(quantise("Q8_0", toFloat32(from)), bytes), tensor).toBe(0);
        count++;
      }
      expect(count).toBeGreaterThan(10);
      floats?.close();
      quantised?.close();
    });
  });

  it("rounds to at most half a step of Q8_0", () => {
    fc.assert(
      fc.property(values, (block) => {
        const stored = quantise("Q8_0", Float32Array.from(block));
        const read = new Float32Array(32);
        dequantise("Q8_0", stored, read);
        const largest = Math.max(...block.map(Math.abs));
        const step = largest / 127;
        // The scale is rounded to a half: by 2^-11 of it, or by 2^-25 if it is subnormal, 127 times.
        const ofScale = 127 * Math.max(step * 2 ** -11, 2 ** -25);
        for (const [i, value] of block.entries()) {
          expect(Math.abs((read[i] as number) - value)).toBeLessThanOrEqual((step / 2) * (1 + 1e-5) + ofScale);
        }
      }),
    );
  });

  it.each(["F32", "F16", "BF16"] as const)("keeps values that %s has", (type) => {
    const stored = (floats: Float32Array) => {
      const read = new Float32Array(32);
      dequantise(type, quantise(type, floats), read);
      return read;
    };
    fc.assert(
      fc.property(values, (block) => {
        const floats = Float32Array.from(block);
        const once = stored(floats);
        expect(stored(once)).toEqual(once);
        if (type === "F32") expect(once).toEqual(floats);
      }),
    );
  });

  it("rejects a part of a block", () => {
    expect(() => quantise("Q8_0", new Float32Array(33))).toThrow(RangeError);
  });
});
