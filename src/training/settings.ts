import type { AdapterStore } from "../formats/adapter/write-adapter.ts";

/** Losses of a run; annealed: from `kl` to `log_overlap`, in equal steps. */
export const trainingLosses = ["kl", "tv", "log_overlap", "annealed"] as const;
export type TrainingLoss = (typeof trainingLosses)[number];

/** How long a run is: exactly one of the two. */
export interface RunLength {
  readonly steps?: number;
  readonly hours?: number;
}

/** Settings that determine a run's result, together with base model, data and starting adapter. */
export interface TrainingSettings extends RunLength {
  readonly objective: "gated";
  readonly seed: number;
  readonly masks: number;
  readonly entryLayer: number;
  readonly rank: number;
  readonly alpha: number;
  readonly draftVocabulary: number;
  readonly loss: TrainingLoss;
  /** A MASK row counts only if the rows before it in its run rank the base's most likely token first. */
  readonly firstMiss: boolean;
  /** By depth; depths beyond have the last one's. */
  readonly depthWeights: readonly number[];
  /** Share of the run in which runs grow from one MASK to all. */
  readonly maskCurriculum: number;
  /** Share of the anchors that are starts of rounds. */
  readonly roundStarts: number;
  /** Steps in which a sequence is used before another takes its place. */
  readonly visits: number;
  readonly learningRate: number;
  /** MASK rows of a step, about. */
  readonly batchRows: number;
  readonly store: AdapterStore;
}

export const trainingDefaults = {
  objective: "gated",
  seed: 0,
  masks: 3,
  rank: 32,
  alpha: 128,
  draftVocabulary: 20_480,
  loss: "log_overlap",
  firstMiss: false,
  depthWeights: [1, 0.7, 0.5],
  maskCurriculum: 0,
  roundStarts: 0.5,
  visits: 8,
  learningRate: 1e-3,
  batchRows: 128,
  store: "bf16",
} as const satisfies Partial<TrainingSettings>;

/** Names of settings whose values differ, with both values. */
export function settingDifferences(
  a: Readonly<Record<string, unknown>>,
  b: Readonly<Record<string, unknown>>,
): { readonly name: string; readonly a: string; readonly b: string }[] {
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  const text = (value: unknown) => JSON.stringify(value) ?? "none";
  return names.flatMap((name) => {
    const [own, other] = [text(a[name]), text(b[name])];
    return own === other ? [] : [{ name, a: own, b: other }];
  });
}
