import type { BenchConditions } from "../../bench/conditions.ts";
import type { ReportLine } from "../../bench/report.ts";
import { table } from "./style.ts";

/** The conditions of a measurement, as a line above its table. */
export function benchHeader({ cpu, instructionSet, threads, numerics, date, commit }: BenchConditions): string {
  const suffix = commit === undefined ? "" : `, commit ${commit}`;
  return `${cpu}, ${instructionSet}, ${threads} threads, numerics ${numerics}, ${date}${suffix}\n\n`;
}

export function benchTable(lines: readonly ReportLine[]): string {
  const verdict = (isMet: boolean | undefined) => (isMet === undefined ? "" : isMet ? "met" : "missed");
  return table(lines.map(({ what, value, goal, isMet }) => [what, value, goal, verdict(isMet)]));
}
