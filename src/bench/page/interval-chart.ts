import { escaped } from "./html.ts";

/** A measured ratio to plain decoding. */
export interface IntervalRow {
  readonly label: string;
  readonly median: number;
  readonly low: number;
  readonly high: number;
  /** Expected before it was measured; drawn as a diamond. */
  readonly expected?: number | undefined;
}

const ROW = 24;
const LABEL = 190;
const WIDTH = 760;
const AXIS = 26;

/** What the colours of `intervalChart` mean, for a text beside it. */
export const COLOURS_TEXT = "Green: faster; red: slower; grey: the bar includes 1.";

/** One line per row: its median as a dot, its confidence interval as a bar, and a line at 1. `title` is read aloud. */
export function intervalChart(title: string, rows: readonly IntervalRow[], highest: number): string {
  const height = rows.length * ROW + AXIS;
  const x = (speed: number) => (LABEL + (Math.min(speed, highest) / highest) * (WIDTH - LABEL - 12)).toFixed(1);
  const ticks = Array.from({ length: Math.floor(highest / 0.25) + 1 }, (_, i) => i / 4).filter(
    (tick) => highest < 2.5 || Number.isInteger(tick * 2),
  );
  const lines = rows.map(({ label, median, low, high, expected }, i) => {
    const y = i * ROW + ROW / 2;
    const state = low > 1 ? "faster" : high < 1 ? "slower" : "open";
    const diamond =
      expected === undefined ? "" : `<path class="expected" d="M${x(expected)} ${y - 7}l5 7l-5 7l-5 -7z"/>`;
    return `<text class="label" x="${LABEL - 10}" y="${y + 4}">${escaped(label)}</text>
<line class="${state}" x1="${x(low)}" x2="${x(high)}" y1="${y}" y2="${y}"/><circle class="${state}" cx="${x(median)}" cy="${y}" r="5"/>${diamond}`;
  });
  const grid = ticks.map(
    (tick) =>
      `<line class="${tick === 1 ? "one" : "grid"}" x1="${x(tick)}" x2="${x(tick)}" y1="0" y2="${height - AXIS}"/><text class="tick middle" x="${x(tick)}" y="${height - 8}">${tick} ×</text>`,
  );
  const summary = rows.map(({ label, median }) => `${label} ${median.toFixed(2)}`).join(", ");
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(`${title}: ${summary}`)}">
${grid.join("\n")}
${lines.join("\n")}
</svg>`;
}
