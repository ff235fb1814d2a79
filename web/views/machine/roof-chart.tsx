import type uPlot from "uplot";
import type { WireModel } from "../../api/wire-machine.ts";
import { axisStyle, type Colour, Plot } from "../plot.tsx";
import { chartWords } from "./machine-words.ts";

const HEIGHT = 220;

/** Measured times of forwards above the two roofs, as a picture and as a table. */
export function RoofChart({ model }: { readonly model: WireModel }) {
  const { rows, contextTokens } = model;
  return (
    <>
      <h4>
        Time of a forward by its rows <span class="muted">milliseconds, after {contextTokens} positions</span>
      </h4>
      <Plot
        height={HEIGHT}
        options={options}
        data={[
          rows.map((row) => row.rows),
          rows.map(({ readMs }) => readMs),
          rows.map(({ computeMs }) => computeMs),
          rows.map(({ ms }) => ms),
        ]}
        label={chartWords(model)}
      />
      <ul class="legend">
        <li>
          <span class="swatch roof-measured" aria-hidden="true" />
          measured
        </li>
        <li>
          <span class="swatch roof-read" aria-hidden="true" />
          reading the weights
        </li>
        <li>
          <span class="swatch roof-compute" aria-hidden="true" />
          arithmetic
        </li>
      </ul>
      <details>
        <summary>The same as a table</summary>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, which the keyboard has to reach */}
        <section class="scroll" tabIndex={0} aria-label="Time of forwards by number of rows">
          <table class="figures-table">
            <thead>
              <tr>
                {["rows", "measured ms", "at least ms", "of roof", "over one row", "by roofs"].map((name) => (
                  <th scope="col" key={name}>
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map(({ rows: n, ms, roofMs, shareOfRoof, overOneRow, roofOverOneRow }) => (
                <tr key={n}>
                  <th scope="row">{n}</th>
                  <td>{ms.toFixed(2)}</td>
                  <td>{roofMs.toFixed(2)}</td>
                  <td>{(100 * shareOfRoof).toFixed(0)} %</td>
                  <td>{overOneRow.toFixed(2)}</td>
                  <td>{roofOverOneRow.toFixed(2)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      </details>
    </>
  );
}

function options(colour: Colour): Omit<uPlot.Options, "width" | "height"> {
  const axis = axisStyle(colour);
  const line = { points: { show: false } };
  return {
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: false, range: [0, 33] }, y: { range: (_, __, max) => [0, max * 1.08] } },
    axes: [
      { ...axis, size: 24, splits: () => [1, 4, 8, 16, 24, 32] },
      { ...axis, size: 40 },
    ],
    series: [
      {},
      { ...line, stroke: colour("source-mask-2"), width: 2 },
      { ...line, stroke: colour("source-lookup"), width: 2, dash: [6, 4] },
      { stroke: colour("source-mask-1"), width: 1, points: { show: true, size: 8, fill: colour("source-mask-1") } },
    ],
  };
}
