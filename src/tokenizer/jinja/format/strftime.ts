const DAY_MS = 86_400_000;

function dayOfYear(date: Date): number {
  const midnight = Date.UTC(date.getFullYear(), date.getMonth(), date.getDate());
  return Math.round((midnight - Date.UTC(date.getFullYear(), 0, 1)) / DAY_MS) + 1;
}

/** ISO 8601 week and its year. */
function isoWeek(date: Date): { readonly year: number; readonly week: number } {
  const day = new Date(Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()));
  day.setUTCDate(day.getUTCDate() + 4 - (day.getUTCDay() || 7));
  const year = day.getUTCFullYear();
  return { year, week: Math.ceil(((day.getTime() - Date.UTC(year, 0, 1)) / DAY_MS + 1) / 7) };
}

/** Week of the year, where weeks begin on Sunday (0) or Monday (1). */
function weekOf(date: Date, firstDay: 0 | 1): number {
  return Math.floor((dayOfYear(date) + 6 - ((date.getDay() + 7 - firstDay) % 7)) / 7);
}

/** What a directive writes before flags and width are applied. */
type Field =
  | { readonly number: number; readonly nDigits: number; readonly isSpaced?: boolean }
  | { readonly text: string }
  | { readonly format: string };

const number = (nDigits: number, get: (date: Date) => number, isSpaced = false) => {
  return (date: Date): Field => ({ number: get(date), nDigits, isSpaced });
};
const name =
  (options: Intl.DateTimeFormatOptions) =>
  (date: Date): Field => ({
    text: date.toLocaleDateString("en-US", options),
  });
const format = (text: string) => (): Field => ({ format: text });
const text = (content: string) => (): Field => ({ text: content });
const half = (date: Date) => (date.getHours() < 12 ? "AM" : "PM");
const hour12 = (date: Date) => date.getHours() % 12 || 12;

/** Directives of the C library in its C locale. */
const directives: Readonly<Record<string, (date: Date) => Field>> = {
  a: name({ weekday: "short" }),
  A: name({ weekday: "long" }),
  b: name({ month: "short" }),
  B: name({ month: "long" }),
  c: format("%a %b %e %H:%M:%S %Y"),
  C: number(2, (date) => Math.floor(date.getFullYear() / 100)),
  d: number(2, (date) => date.getDate()),
  D: format("%m/%d/%y"),
  e: number(2, (date) => date.getDate(), true),
  F: format("%Y-%m-%d"),
  g: number(2, (date) => isoWeek(date).year % 100),
  G: number(1, (date) => isoWeek(date).year),
  h: name({ month: "short" }),
  H: number(2, (date) => date.getHours()),
  I: number(2, hour12),
  j: number(3, dayOfYear),
  k: number(2, (date) => date.getHours(), true),
  l: number(2, hour12, true),
  m: number(2, (date) => date.getMonth() + 1),
  M: number(2, (date) => date.getMinutes()),
  n: text("\n"),
  p: (date) => ({ text: half(date) }),
  P: (date) => ({ text: half(date) }),
  r: format("%I:%M:%S %p"),
  R: format("%H:%M"),
  s: (date) => ({ text: String(Math.floor(date.getTime() / 1000)) }),
  S: number(2, (date) => date.getSeconds()),
  t: text("\t"),
  T: format("%H:%M:%S"),
  u: number(1, (date) => date.getDay() || 7),
  U: number(2, (date) => weekOf(date, 0)),
  V: number(2, (date) => isoWeek(date).week),
  w: number(1, (date) => date.getDay()),
  W: number(2, (date) => weekOf(date, 1)),
  x: format("%m/%d/%y"),
  X: format("%H:%M:%S"),
  y: number(2, (date) => date.getFullYear() % 100),
  Y: number(1, (date) => date.getFullYear()),
  Z: text(""),
  "%": text("%"),
};

const MAX_WIDTH = 1 << 10;

/**
 * Python's `strftime` with glibc in the C locale. Flags after "%": "-" no padding, "_" spaces, "0" zeros, "^" capitals,
 * "#" the other case; then a width.
 */
export function strftime(date: Date, pattern: string): string {
  // Python itself replaces this one.
  const microseconds = String(date.getMilliseconds() * 1000).padStart(6, "0");
  const prepared = pattern.replace(/%(%|f)/g, (all, letter) => (letter === "f" ? microseconds : all));
  return prepared.replace(/%([-_0^#]*)(\d*)([a-zA-Z%])/g, (all, flags: string, widthText: string, letter: string) => {
    const field = directives[letter]?.(date);
    const width = Math.min(Number(widthText), MAX_WIDTH);
    const padding = /.*([-_0])/.exec(flags)?.[1];
    // The time has no zone, as Python's `datetime.now()`.
    if (letter === "z") return "";
    if (field !== undefined && "number" in field) {
      const filler = padding === "_" || (field.isSpaced && padding !== "0") ? " " : "0";
      const digits = String(field.number);
      return padding === "-" ? digits.padStart(width) : digits.padStart(Math.max(field.nDigits, width), filler);
    }
    const content = field === undefined ? all : "format" in field ? strftime(date, field.format) : field.text;
    const isUpper = flags.includes("^") || (flags.includes("#") && "AaBbh".includes(letter));
    const isLower = letter === "P" || (letter === "p" && flags.includes("#"));
    const shown = isLower ? content.toLowerCase() : isUpper ? content.toUpperCase() : content;
    return shown.padStart(width, padding === "0" ? "0" : " ");
  });
}
