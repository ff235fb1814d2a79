// Plots the results of `idlm bench decode --out FILE`: node scripts/decode-picture.mjs FILE... PICTURE.svg
// Speed-up against rows per round, one point for each method and kind of prompt. The curves are the limit TPF / OH for the
// labelled tokens per forward, with the overhead OH from a line fitted to the points.
import { readFileSync, writeFileSync } from "node:fs";
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";

const paths = process.argv.slice(2);
const picture = paths.pop();
if (picture === undefined || paths.length === 0) {
  console.error("usage: node scripts/decode-picture.mjs FILE... PICTURE.svg");
  process.exit(2);
}
const figures = paths.flatMap((path) => JSON.parse(readFileSync(path, "utf8")).figures);
const points = figures
  .filter(({ batch }) => batch === 1)
  .map(({ drafter, shape, stride, kind, speedUp, tokenRows, maskRows, overhead }) => ({
    method: [drafter === "none" ? "plain" : drafter, shape, stride].filter((part) => part !== undefined).join(" "),
    kind,
    rows: tokenRows + maskRows,
    overhead,
    ...speedUp,
  }));

/** OH(rows) = 1 + slope (rows - 1), least squares through one row. */
const slope =
  points.reduce((sum, { rows, overhead }) => sum + (rows - 1) * (overhead - 1), 0) /
  Math.max(
    1e-9,
    points.reduce((sum, { rows }) => sum + (rows - 1) ** 2, 0),
  );
const maxRows = Math.max(2, ...points.map(({ rows }) => rows));
const limits = [1.25, 1.5, 2, 2.5].flatMap((tpf) =>
  Array.from({ length: 41 }, (_, i) => {
    const rows = 1 + ((maxRows - 1) * i) / 40;
    return { tpf, rows, limit: tpf / (1 + slope * (rows - 1)) };
  }),
);

const { document } = parseHTML("<!doctype html><html><body></body></html>");
const plot = Plot.plot({
  document,
  width: 760,
  height: 460,
  style: { background: "white", fontFamily: "sans-serif" },
  x: { label: "rows of a round (mean)", nice: true },
  y: { label: "speed over plain decoding", grid: true },
  symbol: { legend: false },
  marks: [
    Plot.ruleY([1], { stroke: "#888" }),
    Plot.line(limits, { x: "rows", y: "limit", z: "tpf", stroke: "#bbb", strokeDasharray: "4 3" }),
    Plot.text(
      limits.filter(({ rows }) => rows === maxRows),
      { x: "rows", y: "limit", text: ({ tpf }) => `TPF ${tpf}`, textAnchor: "end", dy: -6, fill: "#888" },
    ),
    Plot.ruleX(points, { x: "rows", y1: "low", y2: "high", stroke: "kind" }),
    Plot.dot(points, { x: "rows", y: "median", stroke: "kind", fill: "white" }),
    Plot.text(points, {
      x: "rows",
      y: "median",
      text: ({ method, kind }) => `${method}, ${kind}`,
      dx: 6,
      textAnchor: "start",
      fill: "kind",
    }),
  ],
});
plot.setAttribute("xmlns", "http://www.w3.org/2000/svg");
writeFileSync(picture, `${plot.outerHTML}\n`);
