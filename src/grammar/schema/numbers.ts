import { characters, choice, type Expression, empty, optional, repeat, sequence, text } from "../expression.ts";

/** Digits of a number: all such integers, and decimals of so many digits, are distinct as float64. */
const MAX_DIGITS = 15;
const LARGEST = 10 ** MAX_DIGITS - 1;

/** A bound of numbers. */
export interface Bound {
  readonly value: number;
  readonly isExclusive: boolean;
}

export interface Bounds {
  readonly min: Bound | undefined;
  readonly max: Bound | undefined;
}

/** An integer within bounds; undefined: there is none of at most 15 digits. */
export function integerWithin({ min, max }: Bounds): Expression | undefined {
  const lowest = min === undefined ? -LARGEST : min.isExclusive ? Math.floor(min.value) + 1 : Math.ceil(min.value);
  const highest = max === undefined ? LARGEST : max.isExclusive ? Math.ceil(max.value) - 1 : Math.floor(max.value);
  const [from, to] = [Math.max(lowest, -LARGEST), Math.min(highest, LARGEST)];
  if (from > to) return undefined;
  const parts: Expression[] = [];
  if (from < 0) parts.push(sequence(text("-"), whole(Math.max(1, -to), -from)));
  if (to >= 0) parts.push(whole(Math.max(0, from), to));
  return choice(...parts);
}

/** A number within bounds; undefined: there is none, or a bound has too many digits. */
export function numberWithin({ min, max }: Bounds): Expression | undefined {
  if (min === undefined && max === undefined) return anyNumber;
  if (min !== undefined && max !== undefined) {
    if (min.value > max.value || (min.value === max.value && (min.isExclusive || max.isExclusive))) return undefined;
  }
  const parts: Expression[] = [];
  const negated = (bound: Bound | undefined) => (bound === undefined ? undefined : { ...bound, value: -bound.value });
  if (min === undefined || min.value < 0) {
    const magnitude = decimal({ min: negated(max), max: negated(min) });
    if (magnitude !== undefined) parts.push(sequence(text("-"), magnitude));
  }
  const positive = decimal({ min, max });
  if (positive !== undefined) parts.push(positive);
  return parts.length === 0 ? undefined : choice(...parts);
}

function digits(first: number, last: number): Expression {
  return characters([[0x30 + first, 0x30 + last]]);
}

const digit = digits(0, 9);

/** A whole number without a sign. */
const anyWhole = choice(text("0"), sequence(digits(1, 9), repeat(digit, 0, MAX_DIGITS - 1)));

const anyNumber = sequence(
  optional(text("-")),
  anyWhole,
  optional(sequence(text("."), repeat(digit, 1, MAX_DIGITS))),
  // Two digits: within float64.
  optional(
    sequence(
      characters([
        [0x45, 0x45],
        [0x65, 0x65],
      ]),
      optional(
        characters([
          [0x2b, 0x2b],
          [0x2d, 0x2d],
        ]),
      ),
      repeat(digit, 1, 2),
    ),
  ),
);

/** Whole numbers from one to another, both at least 0. */
function whole(from: number, to: number): Expression {
  if (from === 0 && to === LARGEST) return anyWhole;
  const parts: Expression[] = [];
  for (let length = String(from).length; length <= String(to).length; length++) {
    const first = Math.max(from, length === 1 ? 0 : 10 ** (length - 1));
    parts.push(between(String(first), String(Math.min(to, 10 ** length - 1))));
  }
  return choice(...parts);
}

/** Digits from one number to another of the same length; undefined: without a bound. */
function between(from: string | undefined, to: string | undefined, length = (from ?? to ?? "").length): Expression {
  if (length === 0) return empty;
  if (from === undefined && to === undefined) return repeat(digit, length, length);
  const [low, high] = [Number(from?.[0] ?? 0), Number(to?.[0] ?? 9)];
  const rest = (first: boolean, last: boolean) =>
    between(first ? from?.slice(1) : undefined, last ? to?.slice(1) : undefined, length - 1);
  if (low === high) return sequence(digits(low, low), rest(true, true));
  const parts = [sequence(digits(low, low), rest(true, false))];
  if (high - low > 1) parts.push(sequence(digits(low + 1, high - 1), rest(false, false)));
  parts.push(sequence(digits(high, high), rest(false, true)));
  return choice(...parts);
}

/** A bound of digits: those before and after the point. */
interface DecimalBound {
  readonly whole: number;
  readonly fraction: string;
  readonly isExclusive: boolean;
}

/** A decimal without a sign or exponent whose value is within the bounds. */
function decimal({ min, max }: Bounds): Expression | undefined {
  if (max !== undefined && max.value < 0) return undefined;
  const lowest = min === undefined || min.value < 0 ? { value: 0, isExclusive: false } : min;
  const low = decimalBound(lowest);
  const high = max === undefined || max.value > LARGEST ? undefined : decimalBound(max);
  if (low === undefined || (max !== undefined && max.value <= LARGEST && high === undefined)) return undefined;
  const nWhole = String(high?.whole ?? low.whole).length;
  const maxDigits = Math.max(MAX_DIGITS - nWhole, low.fraction.length, high?.fraction.length ?? 0, 1);
  const parts: Expression[] = [];
  const add = (part: Expression, fraction: Fraction) => {
    if (fraction.canEnd) parts.push(part);
    if (fraction.more !== undefined) parts.push(sequence(part, text("."), fraction.more));
  };
  if (low.whole === high?.whole) add(text(String(low.whole)), fractionWithin(low, high, maxDigits));
  else {
    add(text(String(low.whole)), fractionWithin(low, undefined, maxDigits));
    const [from, to] = [low.whole + 1, (high?.whole ?? LARGEST + 1) - 1];
    if (from <= to) add(whole(from, to), fractionWithin(undefined, undefined, maxDigits));
    if (high !== undefined && high.whole > low.whole) {
      add(text(String(high.whole)), fractionWithin(undefined, high, maxDigits));
    }
  }
  return parts.length === 0 ? undefined : choice(...parts);
}

function decimalBound({ value, isExclusive }: Bound): DecimalBound | undefined {
  const written = Math.abs(value) < 1e-6 ? value.toFixed(MAX_DIGITS) : String(value);
  const [whole = "", fraction = ""] = written.split(".");
  const trimmed = fraction.replace(/0+$/, "");
  // Exact: what is written is read as the same value.
  if (!/^\d+$/.test(whole) || Number(written) !== value || whole.length + trimmed.length > MAX_DIGITS + 1)
    return undefined;
  return { whole: Number(whole), fraction: trimmed, isExclusive };
}

/** Digits after the point, or more of them. */
interface Fraction {
  /** Whether they may end here. */
  readonly canEnd: boolean;
  /** At least one more digit. */
  readonly more: Expression | undefined;
}

type FractionBound = Pick<DecimalBound, "fraction" | "isExclusive">;

function fractionWithin(low: FractionBound | undefined, high: FractionBound | undefined, maxDigits: number): Fraction {
  const isLow = low === undefined || (low.fraction === "" && !low.isExclusive);
  const isHigh = high === undefined || high.fraction !== "" || !high.isExclusive;
  const canEnd = isLow && isHigh;
  if (maxDigits === 0) return { canEnd, more: undefined };
  if (low === undefined && high === undefined) return { canEnd, more: repeat(digit, 1, maxDigits) };
  const parts: Expression[] = [];
  const first = Number(low?.fraction[0] ?? 0);
  const last = high === undefined ? 9 : Number(high.fraction[0] ?? 0);
  const add = (from: number, to: number) => {
    if (from > to) return;
    const rest = fractionWithin(
      from === first && low !== undefined ? { ...low, fraction: low.fraction.slice(1) } : undefined,
      from === last && high !== undefined ? { ...high, fraction: high.fraction.slice(1) } : undefined,
      maxDigits - 1,
    );
    if (rest.canEnd) parts.push(digits(from, to));
    if (rest.more !== undefined) parts.push(sequence(digits(from, to), rest.more));
  };
  if (first > last) return { canEnd, more: undefined };
  const inner = [low === undefined ? first : first + 1, high === undefined ? last : last - 1] as const;
  if (low !== undefined) add(first, first);
  add(inner[0], inner[1]);
  if (high !== undefined && !(low !== undefined && first === last)) add(last, last);
  return { canEnd, more: parts.length === 0 ? undefined : choice(...parts) };
}
