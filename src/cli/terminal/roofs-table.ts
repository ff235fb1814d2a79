import type { BenchRoofs, MachineRoofs, ModelRoofs } from "../../bench/machine-roofs.ts";
import type { Roofs, SpeedUp } from "../../bench/roofs.ts";
import { table } from "./style.ts";

/** Names and values of the machine's roofs, for a table of two columns. */
export function machineRoofLines({ threads, oneThread, siblings, ...all }: MachineRoofs): [string, string][] {
  const both = (text: (roofs: Roofs) => string) => {
    return threads === 1 ? text(all) : `${text(all)} with ${threads} threads, ${text(oneThread)} with one`;
  };
  return [
    ["threads", threads === 1 ? "1" : `${threads}; ${siblingsText(siblings)}`],
    ["read bandwidth", both(({ bandwidthGBs }) => `${bandwidthGBs.toFixed(1)} GB/s`)],
    ["arithmetic peak", both((roofs) => `${(roofs.productsPerSecond / 1e9).toFixed(0)} billion 8-bit products/s`)],
  ];
}

function siblingsText({ reported, measured }: MachineRoofs["siblings"]): string {
  if (reported === true) return "more than cores: some are siblings of one core";
  if (measured === true) return "they compute like siblings of one core, or other programs run";
  return reported === undefined ? "they compute like separate cores" : "each has a core";
}

/** The section of `idlm bench`. */
export function benchRoofsText({ model, ...machine }: BenchRoofs): string {
  const lines = machineRoofLines(machine).map(([name, value]) => `${name}: ${value}\n`);
  return `\n${lines.join("")}${modelRoofsText(model)}`;
}

/** More than the noise of both measurements. */
const CACHED_SHARE = 1.1;
const CACHED =
  "Above 100 %: the caches hold part of the weights, or other programs ran while the roofs were measured.\n";

/** Forwards by number of rows beside the roofs, and the speed-ups that follow. */
export function modelRoofsText(roofs: ModelRoofs): string {
  const { contextTokens, roofsMeetAtRows, rows } = roofs;
  const lines = rows.map(({ rows: n, ms, readMs, computeMs, shareOfRoof, overOneRow, roofOverOneRow }) => [
    ...[String(n), readMs.toFixed(2), computeMs.toFixed(2), ms.toFixed(2), `${(100 * shareOfRoof).toFixed(0)} %`],
    ...[overOneRow.toFixed(2), roofOverOneRow.toFixed(2)],
  ]);
  return [
    `\nForwards after ${contextTokens} positions. They take at least as long as reading the weights and as their products;\n`,
    `from ${roofsMeetAtRows.toFixed(1)} rows on the products take longer\n`,
    table([["rows", "read ms", "products ms", "measured ms", "of roof", "over one row", "by roofs"], ...lines]),
    ...(rows.some(({ shareOfRoof }) => shareOfRoof > CACHED_SHARE) ? [CACHED] : []),
    "\nSpeed-up = tokens per forward × time of one row / time of the rows; in brackets by the roofs\n",
    speedUpTable(roofs.speedUps),
  ].join("");
}

/** One line per number of rows, one column per number of tokens. */
function speedUpTable(speedUps: readonly SpeedUp[]): string {
  const distinct = (values: readonly number[]) => [...new Set(values)].sort((a, b) => a - b);
  const tokens = distinct(speedUps.map(({ tokensPerForward }) => tokensPerForward));
  const lines = distinct(speedUps.map(({ rows }) => rows)).map((n) => [
    String(n),
    ...tokens.map((count) => {
      const found = speedUps.find(({ rows, tokensPerForward }) => rows === n && tokensPerForward === count);
      return found === undefined ? "" : `${found.measured.toFixed(2)} (${found.byRoofs.toFixed(2)})`;
    }),
  ]);
  return table([["rows", ...tokens.map((count) => `${count} tokens`)], ...lines]);
}
