const two = (n: number, filler = "0") => String(n).padStart(2, filler);
const name = (date: Date, options: Intl.DateTimeFormatOptions) => date.toLocaleDateString("en-US", options);
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

const directives: Readonly<Record<string, (date: Date) => string>> = {
  a: (date) => name(date, { weekday: "short" }),
  A: (date) => name(date, { weekday: "long" }),
  b: (date) => name(date, { month: "short" }),
  B: (date) => name(date, { month: "long" }),
  c: (date) => strftime(date, "%a %b %e %H:%M:%S %Y"),
  C: (date) => two(Math.floor(date.getFullYear() / 100)),
  d: (date) => two(date.getDate()),
  D: (date) => strftime(date, "%m/%d/%y"),
  e: (date) => two(date.getDate(), " "),
  f: (date) => String(date.getMilliseconds() * 1000).padStart(6, "0"),
  F: (date) => strftime(date, "%Y-%m-%d"),
  g: (date) => two(isoWeek(date).year % 100),
  G: (date) => String(isoWeek(date).year),
  h: (date) => name(date, { month: "short" }),
  H: (date) => two(date.getHours()),
  I: (date) => two(date.getHours() % 12 || 12),
  j: (date) => String(dayOfYear(date)).padStart(3, "0"),
  k: (date) => two(date.getHours(), " "),
  l: (date) => two(date.getHours() % 12 || 12, " "),
  m: (date) => two(date.getMonth() + 1),
  M: (date) => two(date.getMinutes()),
  n: () => "\n",
  p: (date) => (date.getHours() < 12 ? "AM" : "PM"),
  P: (date) => (date.getHours() < 12 ? "am" : "pm"),
  r: (date) => strftime(date, "%I:%M:%S %p"),
  R: (date) => strftime(date, "%H:%M"),
  s: (date) => String(Math.floor(date.getTime() / 1000)),
  S: (date) => two(date.getSeconds()),
  t: () => "\t",
  T: (date) => strftime(date, "%H:%M:%S"),
  u: (date) => String(date.getDay() || 7),
  U: (date) => two(weekOf(date, 0)),
  V: (date) => two(isoWeek(date).week),
  w: (date) => String(date.getDay()),
  W: (date) => two(weekOf(date, 1)),
  x: (date) => strftime(date, "%m/%d/%y"),
  X: (date) => strftime(date, "%H:%M:%S"),
  y: (date) => two(date.getFullYear() % 100),
  Y: (date) => String(date.getFullYear()),
  // The time has no zone, as Python's `datetime.now()`.
  z: () => "",
  Z: () => "",
  "%": () => "%",
};

/** Python's `strftime` in the C locale. "-" after "%" leaves out leading zeros and spaces. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%([-_0^])?([a-zA-Z%])/g, (all, flag: string | undefined, letter: string) => {
    const text = directives[letter]?.(date);
    if (text === undefined) return all;
    if (flag === "-") return text.replace(/^[0 ]+(?=.)/, "");
    if (flag === "_") return text.replace(/^0+(?=.)/, (zeros) => " ".repeat(zeros.length));
    return flag === "^" ? text.toUpperCase() : text;
  });
}
