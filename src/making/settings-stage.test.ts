import { describe, expect, it } from "vitest";
import { chooseSettings, type VariantFigures } from "./settings-stage.ts";

const variant = (speedUp: number, settings: VariantFigures["settings"], steps = 150): VariantFigures => {
  return { name: "", settings, steps, survival: [], speedUp, predicted: undefined };
};

describe("chooseSettings", () => {
  it("takes the best variant if it is clearly better than the defaults", () => {
    const others = [variant(1.2, { masks: 2 }), variant(1.3, { entryLayer: 0 })];
    expect(chooseSettings([variant(1.1, {}), ...others])).toEqual({ entryLayer: 0 });
    expect(chooseSettings([variant(1.295, {}), ...others])).toEqual({});
    expect(chooseSettings([])).toEqual({});
  });

  it("keeps the defaults where a variant had few steps, because the machine was busy", () => {
    expect(chooseSettings([variant(0.8, {}, 6), variant(1.1, { entryLayer: 0 }, 290)])).toEqual({});
    expect(chooseSettings([variant(0.8, {}), variant(1.1, { entryLayer: 0 }, 74)])).toEqual({});
  });
});
