import type { Figures } from "./figures.ts";

/** One line of the table: what, its value, and the goal where there is one. */
export interface ReportLine {
  readonly what: string;
  readonly value: string;
  readonly goal: string;
  readonly isMet: boolean | undefined;
}

interface Goals {
  readonly decodeOverPeer: number;
  readonly shareOfBound: number;
  /** Of 2, 5 and 8 rows over one; undefined: below the peer's in the same run. */
  readonly rows: Readonly<Record<number, number>> | undefined;
  readonly prefillOverPeer: number;
}

/** Goals by instruction set; full-width and half-width VNNI differ in what a row may cost. */
function goalsOf(instructionSet: string, isFullWidth: boolean): Goals {
  if (instructionSet === "avx512vnni") {
    const rows = isFullWidth ? { 2: 1.06, 5: 1.2, 8: 1.45 } : { 2: 1.1, 5: 1.5, 8: 1.95 };
    return { decodeOverPeer: 2, shareOfBound: 0.75, rows, prefillOverPeer: 4 };
  }
  return { decodeOverPeer: 1.4, shareOfBound: 0.6, rows: undefined, prefillOverPeer: 2 };
}

/** The figures as lines of a table, with goals. */
export function reportLines(figures: Figures, instructionSet: string, isFullWidth: boolean): ReportLine[] {
  const goals = goalsOf(instructionSet, isFullWidth);
  const { decodeMs, rowsMs, rowsLongMs, prefillMs } = figures;
  const lines: ReportLine[] = [];
  const add = (what: string, value: string, goal = "", isMet?: boolean) => lines.push({ what, value, goal, isMet });
  const tps = (ms: number) => `${(1000 / ms).toFixed(1)} tokens/s`;
  const over = (rows: number, table = rowsMs) => (table[rows]?.median ?? 0) / (table[1]?.median ?? 1);

  add("plain decoding", `${tps(decodeMs.median)} (${decodeMs.low.toFixed(2)}–${decodeMs.high.toFixed(2)} ms a token)`);
  for (const peer of figures.peers) {
    const ratio = peer.decodeMs.median / decodeMs.median;
    add(
      `  over ${peer.name}`,
      `${ratio.toFixed(2)} × (${tps(peer.decodeMs.median)})`,
      `≥ ${goals.decodeOverPeer} ×`,
      ratio >= goals.decodeOverPeer,
    );
  }
  add(
    "share of the read bandwidth",
    `${(figures.shareOfBound * 100).toFixed(0)} % of ${figures.bandwidthGBs.toFixed(1)} GB/s`,
    `≥ ${goals.shareOfBound * 100} %`,
    figures.shareOfBound >= goals.shareOfBound,
  );
  for (const rows of [2, 5, 8]) {
    const peerRatios = figures.peers.map((peer) => over(rows, peer.rowsMs));
    const goal = goals.rows?.[rows] ?? Math.min(...peerRatios, Number.POSITIVE_INFINITY);
    const text = goals.rows === undefined ? "below the peer's" : `≤ ${goal}`;
    const others = peerRatios.map((ratio) => ratio.toFixed(2)).join(", ");
    add(
      `${rows} rows over one`,
      `${over(rows).toFixed(2)}${others === "" ? "" : ` (peers ${others})`}`,
      text,
      over(rows) <= goal,
    );
  }
  add("prefill of 512", `${prefillMs.median.toFixed(0)} ms (${((512 / prefillMs.median) * 1000).toFixed(0)} tokens/s)`);
  for (const peer of figures.peers) {
    const ratio = peer.prefillMs.median / prefillMs.median;
    add(`  over ${peer.name}`, `${ratio.toFixed(2)} ×`, `≥ ${goals.prefillOverPeer} ×`, ratio >= goals.prefillOverPeer);
  }
  const long = rowsLongMs[1]?.median ?? 0;
  add("one row after 4,096 tokens", `${long.toFixed(2)} ms; 5 rows ${over(5, rowsLongMs).toFixed(2)} of it`);
  for (const peer of figures.peers) {
    add(
      `  over ${peer.name}`,
      `${((peer.rowsLongMs[1]?.median ?? 0) / long).toFixed(2)} ×; 5 rows ${over(5, peer.rowsLongMs).toFixed(2)}`,
    );
  }
  const weights = (figures.partsMs.linear ?? 0) + (figures.partsMs.logits ?? 0);
  const all = Object.values(figures.partsMs).reduce((a, b) => a + b, 0);
  const rest = (all - weights) / all;
  add("outside weight passes, one row after 256", `${(rest * 100).toFixed(0)} % of the step`, "≤ 15 %", rest <= 0.15);
  return lines;
}
