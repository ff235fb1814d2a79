import type { EngineFigures, Figures } from "./figures.ts";
import type { LoadFigures } from "./load-figures.ts";

/** One line of the table: measurement, value, and goal, if any. */
export interface ReportLine {
  readonly what: string;
  readonly value: string;
  readonly goal: string;
  readonly isMet: boolean | undefined;
}

export interface Goals {
  readonly decodeOverPeer?: number;
  readonly shareOfBound?: number;
  /** Time of several rows relative to one; undefined: less than the peer's in the same run. */
  readonly rows: Readonly<Record<number, number>> | undefined;
  readonly prefillOverPeer?: number;
  readonly loadMs?: number;
  /** Share of a one-row forward outside of matrix products. */
  readonly outsideProducts?: number;
}

/** Goals for the small model, by instruction set; the cost of a row differs between full-width and half-width VNNI. */
export function smallModelGoals(instructionSet: string, isFullWidth: boolean): Goals {
  if (instructionSet === "avx512vnni") {
    const rows = isFullWidth ? { 2: 1.06, 5: 1.2, 8: 1.45 } : { 2: 1.1, 5: 1.5, 8: 1.95 };
    return { decodeOverPeer: 2, shareOfBound: 0.75, rows, prefillOverPeer: 4, outsideProducts: 0.15 };
  }
  return { decodeOverPeer: 1.4, shareOfBound: 0.6, rows: undefined, prefillOverPeer: 2, outsideProducts: 0.15 };
}

/** Goals for models of about a billion weights; with 8-bit weights every engine is limited by bandwidth. */
export function billionGoals(instructionSet: string, isFullWidth: boolean, is8Bit: boolean): Goals {
  const isVnni = instructionSet === "avx512vnni";
  const rows = isVnni ? { 5: isFullWidth ? 1.2 : 1.5 } : undefined;
  if (is8Bit) return { decodeOverPeer: isVnni ? 1.05 : 1, rows };
  return {
    decodeOverPeer: isVnni ? 1.3 : 1.1,
    shareOfBound: isVnni ? 0.8 : 0.6,
    rows,
    prefillOverPeer: isVnni ? 2 : 1.2,
    loadMs: 3000,
  };
}

/** The results as lines of a table, with goals. */
export function reportLines(figures: Figures, goals: Goals, load?: LoadFigures): ReportLine[] {
  const lines: ReportLine[] = [];
  const add = (what: string, value: string, goal = "", isMet?: boolean) => lines.push({ what, value, goal, isMet });
  if (load !== undefined) loadLines(load, goals, add);
  const { decodeMs, prefillMs, rowsMs, rowsLongMs } = figures;
  if (decodeMs !== undefined) {
    const { median, low, high } = decodeMs;
    add("plain decoding", `${perSecond(1, median)} (${low.toFixed(2)}–${high.toFixed(2)} ms per token)`);
    for (const { name, decodeMs: theirs } of figures.peers) {
      if (theirs !== undefined) {
        const ratio = theirs.median / median;
        const value = `${ratio.toFixed(2)} × (${perSecond(1, theirs.median)})`;
        add(`  over ${name}`, value, ...atLeast(ratio, goals.decodeOverPeer));
      }
    }
  }
  if (figures.shareOfBound !== undefined && figures.bandwidthGBs !== undefined) {
    const share = figures.shareOfBound;
    const value = `${(share * 100).toFixed(0)} % of ${figures.bandwidthGBs.toFixed(1)} GB/s`;
    const goal = goals.shareOfBound;
    if (goal === undefined) add("share of the read bandwidth", value);
    else add("share of the read bandwidth", value, `≥ ${goal * 100} %`, share >= goal);
  }
  if (rowsMs !== undefined) {
    for (const rows of [2, 5, 8]) rowsLine(rows, figures, goals, add);
  }
  if (prefillMs !== undefined) {
    add("prefill of 512", `${prefillMs.median.toFixed(0)} ms (${perSecond(512, prefillMs.median)})`);
    for (const { name, prefillMs: theirs } of figures.peers) {
      if (theirs !== undefined) {
        const ratio = theirs.median / prefillMs.median;
        add(`  over ${name}`, `${ratio.toFixed(2)} ×`, ...atLeast(ratio, goals.prefillOverPeer));
      }
    }
  }
  if (rowsLongMs !== undefined) {
    const one = rowsLongMs[1]?.median ?? 0;
    add("one row after 4,096 tokens", `${one.toFixed(2)} ms; ${overOneText(rowsLongMs)}`);
    for (const { name, rowsLongMs: theirs } of figures.peers) {
      if (theirs !== undefined) {
        add(`  over ${name}`, `${((theirs[1]?.median ?? 0) / one).toFixed(2)} ×; ${overOneText(theirs)}`);
      }
    }
  }
  if (figures.partsMs !== undefined) {
    const weights = (figures.partsMs.linear ?? 0) + (figures.partsMs.logits ?? 0);
    const all = Object.values(figures.partsMs).reduce((a, b) => a + b, 0);
    const rest = (all - weights) / all;
    const goal = goals.outsideProducts;
    const value = `${(rest * 100).toFixed(0)} % of the step`;
    if (goal === undefined) add("outside weight passes, one row after 256", value);
    else add("outside weight passes, one row after 256", value, `≤ ${goal * 100} %`, rest <= goal);
  }
  return lines;
}

type Add = (what: string, value: string, goal?: string, isMet?: boolean) => void;
type RowTimes = NonNullable<EngineFigures["rowsMs"]>;

function loadLines(load: LoadFigures, goals: Goals, add: Add): void {
  const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`;
  const value = `${seconds(load.loadMs.median)}; with the first forward ${seconds(load.firstMs.median)}`;
  const goal = goals.loadMs;
  if (goal === undefined) add("load, page cache warm", value);
  else add("load, page cache warm", value, `≤ ${seconds(goal)}`, load.loadMs.median <= goal);
  for (const { name, loadMs, firstMs } of load.peers) {
    add(`  ${name}`, `${seconds(loadMs.median)}; with the first forward ${seconds(firstMs.median)}`);
  }
  const memory = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
  add("resident memory after load", `${memory(load.residentBytes)} (weights ${memory(load.weightBytes)})`);
  for (const { name, residentBytes } of load.peers) {
    if (residentBytes !== undefined) add(`  ${name}`, memory(residentBytes));
  }
}

function rowsLine(rows: number, { rowsMs = {}, peers }: Figures, goals: Goals, add: Add): void {
  const others = peers.flatMap((peer) => (peer.rowsMs === undefined ? [] : [overOne(rows, peer.rowsMs)]));
  const ratio = overOne(rows, rowsMs);
  const text = others.length === 0 ? "" : ` (peers ${others.map((other) => other.toFixed(2)).join(", ")})`;
  const value = `${ratio.toFixed(2)}${text}`;
  const what = `${rows} rows over one`;
  if (goals.rows === undefined) {
    const isMet = others.length === 0 ? undefined : ratio <= Math.min(...others);
    add(what, value, "below the peer's", isMet);
    return;
  }
  const goal = goals.rows[rows];
  if (goal === undefined) add(what, value);
  else add(what, value, `≤ ${goal}`, ratio <= goal);
}

function overOne(rows: number, times: RowTimes): number {
  return (times[rows]?.median ?? 0) / (times[1]?.median ?? 1);
}

function overOneText(times: RowTimes): string {
  return `2, 5, 8 rows ${[2, 5, 8].map((rows) => overOne(rows, times).toFixed(2)).join(", ")} × that`;
}

function perSecond(tokens: number, ms: number): string {
  const rate = (tokens * 1000) / ms;
  return `${rate.toFixed(rate < 1000 ? 1 : 0)} tokens/s`;
}

function atLeast(ratio: number, goal: number | undefined): [string?, boolean?] {
  return goal === undefined ? [] : [`≥ ${goal} ×`, ratio >= goal];
}
