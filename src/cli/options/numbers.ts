import { InvalidArgumentError } from "commander";

interface Range {
  readonly min?: number;
  readonly max?: number;
  /** Whether `min` itself is excluded. */
  readonly above?: boolean;
}

/**
 * Parser of an option with a whole number. Accepts digits with a sign only: Number() and parseInt accept too much ("",
 * "0x10", "1e3", "12abc").
 */
export function integer(range: Range = {}): (text: string) => number {
  return (text) => {
    const value = /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(value)) throw new InvalidArgumentError(expected("a whole number", range));
    return inRange(value, "a whole number", range);
  };
}

/** Parser of an option with a finite decimal number. */
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
  // No option distinguishes -0, which would print as "-0".
  return value === 0 ? 0 : value;
}

function expected(kind: string, { min, max, above = false }: Range): string {
  const parts = [
    min === undefined ? "" : `${above ? "above" : "from"} ${min}`,
    max === undefined ? "" : `up to ${max}`,
  ];
  return `Expected ${[kind, ...parts.filter((part) => part !== "")].join(" ")}.`;
}
