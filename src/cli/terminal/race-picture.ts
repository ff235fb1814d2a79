import type { Competitor, Step } from "./race-table.ts";
import type { Colors } from "./style.ts";

/** For 1, 2, 3 and more tokens per forward. */
const SHADES = ["░", "▒", "▓", "█"] as const;
/** Columns of the longest bar: with names and times the picture has 80. */
const BAR_WIDTH = 59;

/**
 * The last laps side by side as bars on one scale of time, in at most 80 columns: the denser, the more tokens per forward.
 * Empty if a lap has no steps.
 */
export function racePicture(competitors: readonly Competitor[], colors: Colors): string {
  const laps = competitors.map(({ name, laps: all }) => ({ name, steps: all.at(-1)?.steps ?? [] }));
  const longestMs = Math.max(...laps.map(({ steps }) => endOf(steps)));
  if (laps.some(({ steps }) => endOf(steps) <= 0)) return "";
  const columnMs = longestMs / BAR_WIDTH;
  const bars = laps.map(({ name, steps }) => {
    const bar = barOf(steps, columnMs);
    const time = `${(endOf(steps) / 1000).toFixed(2)} s`;
    return `${name.padEnd(11)}${bar.replace(/[▒▓█]+/g, (dense) => colors.green(dense))} ${time}\n`;
  });
  return `${bars.join("")}${" ".repeat(11)}${colors.dim("tokens per forward: ░ 1, ▒ 2, ▓ 3, █ 4 and more")}\n`;
}

function endOf(steps: readonly Step[]): number {
  return steps.at(-1)?.endMs ?? 0;
}

/** One character per column: the mean tokens of the forwards in it, each weighted by its share of the column. */
function barOf(steps: readonly Step[], columnMs: number): string {
  const nColumns = Math.max(1, Math.round(endOf(steps) / columnMs));
  let bar = "";
  for (let column = 0; column < nColumns; column++) {
    const [from, to] = [column * columnMs, (column + 1) * columnMs];
    let [tokens, covered, startMs] = [0, 0, 0];
    for (const { endMs, tokens: own } of steps) {
      const overlap = Math.max(0, Math.min(to, endMs) - Math.max(from, startMs));
      tokens += own * overlap;
      covered += overlap;
      startMs = endMs;
    }
    const mean = covered > 0 ? tokens / covered : 1;
    bar += SHADES[Math.min(SHADES.length, Math.max(1, Math.round(mean))) - 1];
  }
  return bar;
}
