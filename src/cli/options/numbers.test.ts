import { InvalidArgumentError } from "commander";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decimal, integer } from "./numbers.ts";

describe("integer", () => {
  it("accepts every safe integer", () => {
    fc.assert(fc.property(fc.maxSafeInteger(), (value) => Object.is(integer()(String(value)), value)));
  });

  it.each([
    "",
    " ",
    "1x",
    "x1",
    "1.0",
    "1e3",
    "0x10",
    "1_000",
    "1,000",
    " 1",
    "NaN",
    "Infinity",
    "--1",
    "9007199254740992",
    "١",
  ])("refuses %j", (text) => {
    expect(() => integer()(text)).toThrow(InvalidArgumentError);
  });

  it("enforces its range and reports it", () => {
    expect(integer({ min: 1, max: 8 })("8")).toBe(8);
    expect(() => integer({ min: 1, max: 8 })("9")).toThrow("Expected a whole number from 1 up to 8.");
    expect(() => integer({ min: 1 })("0")).toThrow("Expected a whole number from 1.");
  });
});

describe("decimal", () => {
  it("accepts every finite number as JavaScript prints it", () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => decimal()(String(value)) === value),
    );
  });

  it.each(["", ".", "1x", "1e", "1e999", "-1e999", "NaN", "inf", "Infinity", "0x1", "1,5", " 1"])(
    "refuses %j",
    (text) => {
      expect(() => decimal()(text)).toThrow(InvalidArgumentError);
    },
  );

  it("can exclude the smallest value", () => {
    const parse = decimal({ min: 0, max: 1, above: true });
    expect(parse(".5")).toBe(0.5);
    expect(parse("1")).toBe(1);
    expect(() => parse("0")).toThrow("Expected a number above 0 up to 1.");
    expect(() => parse("-0")).toThrow(InvalidArgumentError);
  });
});
