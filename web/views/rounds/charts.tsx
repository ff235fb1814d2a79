import type uPlot from "uplot";
import type { WireRound } from "../../api/wire.ts";
import { seriesOf } from "../../rounds/statistics.ts";
import { axisStyle, type Colour, Plot } from "../plot.tsx";

const HEIGHT = 130;

interface ChartsProps {
  readonly rounds: readonly WireRound[];
  /** The list grows in place; without a property that changes it would not be shown again. */
  readonly nRounds: number;
}

/** Tokens per forward and per second over the forwards so far, as moving means. */
export function Charts({ rounds }: ChartsProps) {
  const { forward, tokensPerForward, tokensPerSecond } = seriesOf(rounds);
  return (
    <>
      <h3>
        Over time <span class="muted">means of 16 forwards</span>
      </h3>
      <Plot
        height={HEIGHT}
        options={options}
        data={[forward, tokensPerForward, tokensPerSecond]}
        label={`Now ${(tokensPerForward.at(-1) ?? 0).toFixed(2)} tokens per forward, ${(tokensPerSecond.at(-1) ?? 0).toFixed(0)} tokens per second`}
      />
      <ul class="legend">
        <li>
          <span class="swatch line-forward" aria-hidden="true" />
          tokens per forward (left)
        </li>
        <li>
          <span class="swatch line-second" aria-hidden="true" />
          tokens/s (right)
        </li>
      </ul>
    </>
  );
}

function options(colour: Colour): Omit<uPlot.Options, "width" | "height"> {
  const axis = axisStyle(colour);
  return {
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { time: false },
      forward: { range: (_, __, max) => [0, Math.max(2, max * 1.1)] },
      second: { range: (_, __, max) => [0, Math.max(10, max * 1.1)] },
    },
    axes: [
      // Forwards are counted: no ticks between them.
      { ...axis, size: 24, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000] },
      { ...axis, scale: "forward", size: 34 },
      { ...axis, scale: "second", side: 1, size: 44, grid: { show: false } },
    ],
    series: [
      {},
      { scale: "forward", stroke: colour("source-mask-1"), width: 2, points: { show: false } },
      { scale: "second", stroke: colour("source-lookup"), width: 1.5, dash: [4, 3], points: { show: false } },
    ],
  };
}
