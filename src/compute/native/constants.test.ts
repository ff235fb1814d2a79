import { describe, expect, it } from "vitest";
import { IdlmError } from "../../errors.ts";
import { nativeBinding } from "./binding.ts";
import { checkConstants } from "./constants.ts";

describe("constants of the addon", () => {
  const { constants } = nativeBinding();

  it("are those of this version", () => {
    expect(() => checkConstants(constants)).not.toThrow();
    expect(Object.keys(constants).length).toBeGreaterThan(0);
  });

  it.each(Object.keys(constants))("%s must be the same", (name) => {
    const { [name]: value = 0, ...others } = constants;
    const names = expect.stringContaining(`${name} is`);
    for (const found of [{ ...constants, [name]: value + 1 }, others]) {
      expect(() => checkConstants(found)).toThrow(IdlmError);
      expect(() => checkConstants(found)).toThrow(expect.objectContaining({ code: "backend", message: names }));
    }
  });

  it("must all be there", () => {
    expect(() => checkConstants(undefined)).toThrow(/numerics is undefined, expected/);
    expect(() => checkConstants({ ...constants, other: 1 })).toThrow(/other is 1, expected undefined/);
  });
});
