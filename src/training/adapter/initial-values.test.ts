import { describe, expect, it } from "vitest";
import { makeAdapter } from "./adapter-shape.ts";
import { deviationOf, initialValues } from "./initial-values.ts";

const base = {
  ...{ name: "base", nLayers: 3, hiddenSize: 16, sha256: undefined },
  linearShape: (name: string): [number, number] => (name.endsWith("down_proj") ? [16, 48] : [16, 16]),
};
const shape = { masks: 3, entryLayer: 1, rank: 4, alpha: 16, draftVocabulary: Int32Array.of(1, 5) };
const adapterOf = (seed: number) => makeAdapter(shape, base, initialValues(seed, 0.1));

describe("the adapter that training starts from", () => {
  it("changes nothing at first: all B and w2 are zero", () => {
    const { peft, idlm } = adapterOf(1);
    expect(peft?.modules.size).toBe(2 * 7);
    for (const { a, b, scale } of peft?.modules.values() ?? []) {
      expect(b.every((value) => value === 0)).toBe(true);
      expect(a.every((value) => value !== 0)).toBe(true);
      expect(scale).toBe(4);
    }
    expect(idlm?.samplerHead?.w2.every((value) => value === 0)).toBe(true);
    expect(idlm?.entryScale).toBe(1);
  });

  it("draws A and w1 within 1/√in, and MASK vectors with the given deviation", () => {
    const down = adapterOf(1).peft?.modules.get("model.layers.2.mlp.down_proj")?.a ?? expect.fail();
    const max = down.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    expect(max).toBeLessThanOrEqual(1 / Math.sqrt(48));
    expect(max).toBeGreaterThan(0.9 / Math.sqrt(48));
    const vectors = initialValues(1, 0.1)("mask_embedding", 100, 100);
    expect(deviationOf(vectors)).toBeCloseTo(0.1, 2);
  });

  it("differs between tensors and seeds, and is the same again", () => {
    const a = (seed: number, layer: number) =>
      adapterOf(seed).peft?.modules.get(`model.layers.${layer}.mlp.up_proj`)?.a;
    expect(a(1, 1)).toEqual(a(1, 1));
    expect(a(1, 1)).not.toEqual(a(1, 2));
    expect(a(1, 1)).not.toEqual(a(2, 1));
  });
});
