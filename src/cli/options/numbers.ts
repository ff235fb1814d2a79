import { InvalidArgumentError } from "commander";

interface Range {
  readonly min?: number;
  readonly max?: number;
  /** The smallest value itself is not allowed. */
  readonly above?: boolean;
}

/**
 * Makes a parser for an option that takes a whole number. Number() and parseInt take too much ("", "0x10", "1e3",
 * "12abc"), so only digits with a sign are let through.
 */
export function integer(range: Range = {}): (text: string) => number {
  return (text) => {
    const value = /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(value)) throw new InvalidArgumentError(expected("a whole number", range));
    return inRange(value, "a whole number", range);
  };
}

/** Makes a parser for an option that takes a finite decimal number. */
export function decimal(range: Range = {}): (text: string) => number {
  return (text) => {
    const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
    if (!Number.isFinite(value)) throw new InvalidArgumentError(expected("a number", range));
    return inRange(value, "a number", range);
  };
}

function inRange(value: number, kind: string, range: Range): number {
  const { min = -Infinity, max = Infinity, above = false } = range;
  if (value < min || value > max || (above && value === min)) throw new InvalidArgumentError(expected(kind, range));
  // -0 would print as "-0" and compare oddly; no option means it.
  return value === 0 ? 0 : value;
}

function expected(kind: string, { min, max, above = false }: Range): string {
  const parts = [
    min === undefined ? "" : `${above ? "above" : "from"} ${min}`,
    max === undefined ? "" : `up to ${max}`,
  ];
  return `Expected ${[kind, ...parts.filter((part) => part !== "")].join(" ")}.`;
}
