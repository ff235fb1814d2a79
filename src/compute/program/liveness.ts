import type { Operation } from "./operations.ts";
import type { Value } from "./program.ts";

/** First and last operation between which a value is live, both included. */
export interface LiveRange {
  readonly written: number;
  /** Its last read; the length of the list if it is a result. */
  readonly lastRead: number;
}

/** Live range of each value. `results`: values that are kept to the end. */
export function liveRanges(
  operations: readonly Operation[],
  results: Iterable<string>,
): ReadonlyMap<string, LiveRange> {
  const ranges = new Map<string, { written: number; lastRead: number }>();
  operations.forEach(({ inputs, out }, at) => {
    for (const id of Object.values(inputs)) {
      const range = ranges.get(id);
      if (range !== undefined) range.lastRead = at;
    }
    ranges.set(out, { written: at, lastRead: at });
  });
  for (const id of results) {
    const range = ranges.get(id);
    if (range !== undefined) range.lastRead = operations.length;
  }
  return ranges;
}

/** Largest number of live floats per row, if memory of dead values is reused. */
export function peakWidth(
  operations: readonly Operation[],
  values: Readonly<Record<string, Value>>,
  results: Iterable<string>,
): number {
  const ranges = liveRanges(operations, results);
  const ending = new Map<number, number>();
  let live = 0;
  let peak = 0;
  operations.forEach(({ out }, at) => {
    const width = values[out]?.width ?? 0;
    const end = ranges.get(out)?.lastRead ?? at;
    live += width;
    ending.set(end, (ending.get(end) ?? 0) + width);
    peak = Math.max(peak, live);
    live -= ending.get(at) ?? 0;
  });
  return peak;
}
