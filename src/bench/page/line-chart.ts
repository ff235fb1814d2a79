import { escaped } from "./html.ts";

export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  readonly isDashed?: boolean;
  /** Dots only, in place of a line. */
  readonly isScatter?: boolean;
  /** Texts beside the points, by index. */
  readonly labels?: readonly string[];
}

export interface Axis {
  readonly label: string;
  /** Default: linear. */
  readonly scale?: "linear" | "log";
  /** Default: the smallest value (0 if linear) and the largest one of all series. */
  readonly from?: number;
  readonly to?: number;
  /** Values of a linear axis that have a tick. Default: round numbers. */
  readonly ticks?: readonly number[];
}

const WIDTH = 760;
const HEIGHT = 320;
const [LEFT, RIGHT, TOP, BOTTOM] = [64, 150, 28, 44];

/** Lines over two axes, each named at its right end. `title` is read aloud; series have one colour each, in their order. */
export function lineChart(title: string, xAxis: Axis, yAxis: Axis, series: readonly Series[]): string {
  const all = series.flatMap(({ points }) => points);
  const x = scaleOf(
    xAxis,
    all.map(([value]) => value),
    LEFT,
    WIDTH - RIGHT,
  );
  const y = scaleOf(
    yAxis,
    all.map(([, value]) => value),
    HEIGHT - BOTTOM,
    TOP,
  );
  const parts = [
    ...y.ticks.map(
      (tick) =>
        `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y.at(tick)}" y2="${y.at(tick)}"/><text class="tick end" x="${LEFT - 8}" y="${y.at(tick) + 4}">${numberText(tick)}</text>`,
    ),
    ...x.ticks.map(
      (tick) =>
        `<line class="grid" x1="${x.at(tick)}" x2="${x.at(tick)}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/><text class="tick middle" x="${x.at(tick)}" y="${HEIGHT - BOTTOM + 18}">${numberText(tick)}</text>`,
    ),
    `<text class="tick" x="0" y="14">${escaped(yAxis.label)}</text>`,
    `<text class="tick middle" x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 6}">${escaped(xAxis.label)}</text>`,
  ];
  const places = labelPlaces(series.map(({ points }) => y.at(points.at(-1)?.[1] ?? 0)));
  for (const [i, { name, points, isDashed = false, isScatter = false, labels = [] }] of series.entries()) {
    const placed = points.map(([px, py]) => [x.at(px), y.at(py)] as const);
    if (!isScatter) {
      const line = placed.map(([px, py]) => `${px},${py}`).join(" ");
      parts.push(`<polyline class="s${i}${isDashed ? " dashed" : ""}" points="${line}"/>`);
    }
    if (isScatter || points.length < 12) {
      parts.push(...placed.map(([px, py]) => `<circle class="s${i}" cx="${px}" cy="${py}" r="3.5"/>`));
    }
    for (const [j, label] of labels.entries()) {
      const [px, py] = placed[j] ?? [0, 0];
      parts.push(`<text class="s${i}" x="${px + 7}" y="${py + 14}">${escaped(label)}</text>`);
    }
    const [endX = LEFT] = placed.at(-1) ?? [];
    parts.push(`<text class="s${i}" x="${endX + 8}" y="${(places[i] ?? 0) + 4}">${escaped(name)}</text>`);
  }
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)}">\n${parts.join("\n")}\n</svg>`;
}

interface Scale {
  readonly at: (value: number) => number;
  readonly ticks: readonly number[];
}

function scaleOf(
  { scale = "linear", from, to, ticks }: Axis,
  values: readonly number[],
  start: number,
  end: number,
): Scale {
  const isLog = scale === "log";
  const positive = isLog ? values.filter((value) => value > 0) : values;
  const low = from ?? (isLog ? Math.min(...positive) : Math.min(0, ...positive));
  const high = Math.max(to ?? Math.max(...positive), isLog ? low * 1.001 : low + 1e-9);
  const place = (value: number) => (isLog ? Math.log(Math.max(value, low * 1e-3)) : value);
  const [a, b] = [place(low), place(high)];
  const at = (value: number) => Number((start + ((place(value) - a) / (b - a)) * (end - start)).toFixed(1));
  return { at, ticks: ticks ?? (isLog ? logTicks(low, high) : linearTicks(low, high)) };
}

/** About five round numbers. */
export function linearTicks(low: number, high: number): number[] {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999) ?? 10) * power;
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: count }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Powers of ten, and below two decades also twice and five times those. */
export function logTicks(low: number, high: number): number[] {
  const factors = high / low < 100 ? [1, 2, 5] : [1];
  const first = Math.floor(Math.log10(low));
  const powers = Array.from({ length: Math.ceil(Math.log10(high)) - first + 1 }, (_, i) => 10 ** (first + i));
  const isInside = (tick: number) => tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9);
  return powers.flatMap((power) => factors.map((factor) => Number((factor * power).toPrecision(6)))).filter(isInside);
}

const LABEL_HEIGHT = 16;

/** Heights of labels, moved apart where they would overlap. */
function labelPlaces(wanted: readonly number[]): number[] {
  const order = wanted.map((_, i) => i).sort((a, b) => (wanted[a] ?? 0) - (wanted[b] ?? 0));
  const places = [...wanted];
  let next = Number.NEGATIVE_INFINITY;
  for (const i of order) {
    const place = Math.max(wanted[i] ?? 0, next);
    places[i] = place;
    next = place + LABEL_HEIGHT;
  }
  // Not over the axis.
  let last = HEIGHT - BOTTOM;
  for (const i of order.toReversed()) {
    places[i] = Math.min(places[i] ?? 0, last);
    last = (places[i] ?? 0) - LABEL_HEIGHT;
  }
  return places;
}

/** 1,500,000 as 1.5 M */
function numberText(value: number): string {
  for (const [power, letter] of [
    [1e12, " T"],
    [1e9, " G"],
    [1e6, " M"],
    [1e3, " k"],
  ] as const) {
    if (Math.abs(value) >= power) return `${Number((value / power).toPrecision(3))}${letter}`;
  }
  return String(Number(value.toPrecision(3)));
}
