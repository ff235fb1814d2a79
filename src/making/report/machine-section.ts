import { escaped } from "../../bench/page/html.ts";
import { lineChart, type Series } from "../../bench/page/line-chart.ts";
import type { Roofs } from "../../bench/roofs.ts";
import type { MachineFigures } from "../machine.ts";

/** Of the bandwidth, beyond what its measurement is off by. */
const CLEARLY_ABOVE = 1.2;

/** The machine and its two roofs. */
export function machineSection(machine: MachineFigures | undefined): string {
  if (machine === undefined) return "";
  const { cpu, cores, threads, instructionSet, memoryBytes, roofs, bytesPerForward, productsPerRow } = machine;
  const facts = `${cpu}, ${cores} ${cores === 1 ? "core" : "cores"}, ${(memoryBytes / 2 ** 30).toFixed(0)} GiB of memory; ${threads} ${threads === 1 ? "thread" : "threads"}, ${instructionSet}.`;
  const model = `A forward of one row reads ${(bytesPerForward / 1e6).toFixed(0)} MB of weights and multiplies ${(productsPerRow / 1e6).toFixed(0)} million pairs of numbers.`;
  const speeds = `It wrote ${machine.writeTokensPerSecond.toFixed(0)} tokens of training text per second, decoded ${machine.plainTokensPerSecond.toFixed(0)} of one sequence, and trained ${machine.trainRowsPerSecond.toFixed(0)} MASK rows.`;
  return `<h2>The machine</h2>
<p>${escaped([facts, model, speeds].join(" "))}</p>
${roofs === undefined ? "" : roofline(machine, roofs)}`;
}

function roofline({ rows, bytesPerForward, productsPerRow }: MachineFigures, roofs: Roofs): string {
  const { bandwidthGBs, productsPerSecond } = roofs;
  const perByte = productsPerRow / bytesPerForward;
  const bandwidth = bandwidthGBs * 1e9;
  const points = rows.map(({ rows: n, ms }) => [n * perByte, (n * productsPerRow * 1000) / ms] as const);
  const corner = productsPerSecond / bandwidth;
  const [left, right] = [perByte / 1.5, Math.max(rows.at(-1)?.rows ?? 1, (corner / perByte) * 2) * perByte * 1.3];
  const series: Series[] = [
    { name: "", points, isScatter: true, labels: rows.map(({ rows: n }) => (n === 1 ? "1 row" : String(n))) },
    {
      name: "arithmetic",
      points: [
        [corner, productsPerSecond],
        [right, productsPerSecond],
      ],
    },
    {
      name: "",
      labels: ["", "← reading memory"],
      points: [
        [left, left * bandwidth],
        [corner, productsPerSecond],
      ],
    },
  ];
  const xAxis = {
    label: "products per byte of weights read (more rows: further right)",
    scale: "log",
    from: left,
    to: right,
  } as const;
  const yAxis = {
    label: "products per second",
    scale: "log",
    from: Math.min(left * bandwidth, ...points.map(([, y]) => y)) * 0.6,
    to: productsPerSecond * 1.6,
  } as const;
  const cornerRows = corner / perByte;
  const isCached = points.some(([x, y]) => y > CLEARLY_ABOVE * x * bandwidth);
  return `<p>Two roofs bound every forward: reading memory (${bandwidthGBs.toFixed(1)} GB/s) and arithmetic (${(productsPerSecond / 1e9).toFixed(0)} billion 8-bit products per second).
They meet at ${cornerRows.toFixed(1)} rows: with fewer rows a forward waits for the weights, and additional rows (proposals and MASK rows) cost little;
with more it computes, and each row costs its share. The further right the corner, the more an adapter gains. Dots: forwards by
number of rows, as measured.${isCached ? " Above the line of reading memory the weights come from the processor’s cache." : ""}</p>
${lineChart("Speed of forwards below the two roofs of the machine", xAxis, yAxis, series)}`;
}
