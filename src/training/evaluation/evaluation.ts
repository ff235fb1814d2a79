import type { GatedModel } from "../../compute/gradients/gated-step.ts";
import type { TrainingRow } from "../data/training-data.ts";
import { type DepthFigures, depthFigures, evaluateRows } from "./evaluate.ts";
import { type ForwardMs, type PredictedSpeed, predictSpeed } from "./predict-speed.ts";

/** How well an adapter proposes on held-out rows. */
export interface Evaluation extends DepthFigures {
  readonly sources: Readonly<Record<string, DepthFigures>>;
  /** Absent if the machine's forwards were not measured. */
  readonly predicted?: PredictedSpeed;
}

/** Evaluates held-out rows, in total and by source. Undefined if none is long enough for a run. */
export async function evaluate(
  model: GatedModel,
  rows: readonly TrainingRow[],
  nMasks: number,
  forwardMs?: ForwardMs,
  signal?: AbortSignal,
): Promise<Evaluation | undefined> {
  const evaluated = await evaluateRows(model, rows, nMasks, signal);
  if (evaluated.length === 0) return undefined;
  const names = [...new Set(evaluated.map(({ source }) => source))].sort();
  const of = (name: string) => depthFigures(evaluated.filter(({ source }) => source === name));
  return {
    ...depthFigures(evaluated),
    sources: Object.fromEntries(names.map((name) => [name, of(name)])),
    ...(forwardMs && { predicted: predictSpeed(evaluated, forwardMs) }),
  };
}

/** The first `most` rows, taken from the sources in turn. */
export function chooseHeldOut(rows: readonly TrainingRow[], max: number): TrainingRow[] {
  const bySource = new Map<string, TrainingRow[]>();
  for (const row of rows) bySource.set(row.source, [...(bySource.get(row.source) ?? []), row]);
  const sources = [...bySource.keys()].sort();
  const chosen: TrainingRow[] = [];
  for (let i = 0; chosen.length < Math.min(max, rows.length); i++) {
    for (const source of sources) {
      const row = bySource.get(source)?.[i];
      if (row !== undefined && chosen.length < max) chosen.push(row);
    }
  }
  return chosen;
}
