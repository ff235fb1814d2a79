import type { LoadedModel } from "../compute/loaded-model.ts";
import type { DecodeFigures } from "./decode.ts";
import { type RowShape, timeRows } from "./forward-times.ts";

/** Timed forwards of each shape. */
const REPEATS = 60;

/**
 * For each of these figures, the mean time of forwards with the rows of its rounds and nothing else, relative to a forward
 * of one token row. What a round costs beyond its rows (choosing its shape, proposing, verification, JavaScript) is its
 * overhead minus this. All shapes are timed interleaved, after a fixed number of cached positions.
 */
export async function measureRowsAlone(
  model: LoadedModel,
  figures: readonly Pick<DecodeFigures, "rounds">[],
  signal: AbortSignal,
  onRound: (round: number, of: number) => void,
): Promise<number[]> {
  const shapes = new Map<string, RowShape>([[keyOf(0, 0), { nTokens: 1, nMasks: 0, nRuns: 1 }]]);
  for (const { rounds } of figures) {
    for (const { proposals, maskRows } of rounds) {
      const nTokens = proposals + 1;
      const nRuns = Math.max(1, Math.min(nTokens, maskRows));
      shapes.set(keyOf(proposals, maskRows), { nTokens, nMasks: maskRows, nRuns });
    }
  }
  const times = await timeRows(model, [...shapes.values()], REPEATS, signal, onRound);
  const msOf = new Map([...shapes.keys()].map((key, i) => [key, times[i] ?? 0]));
  const plainMs = msOf.get(keyOf(0, 0)) ?? 0;
  return figures.map(({ rounds }) => {
    let totalMs = 0;
    let nRounds = 0;
    for (const { proposals, maskRows, rounds: n } of rounds) {
      totalMs += n * (msOf.get(keyOf(proposals, maskRows)) ?? 0);
      nRounds += n;
    }
    return totalMs / nRounds / plainMs;
  });
}

function keyOf(proposals: number, maskRows: number): string {
  return `${proposals} ${maskRows}`;
}
