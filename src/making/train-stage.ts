import { join } from "node:path";
import { RunLog } from "../training/run-log.ts";
import type { Evaluation } from "../training/evaluation/evaluation.ts";
import type { MeasuredForwards } from "../training/evaluation/measure-forwards.ts";
import type { Adapter } from "../formats/adapter/adapter.ts";
import { trainingDefaults } from "../training/settings.ts";
import type { StageContext } from "./context.ts";
import type { VariantSettings } from "./settings-stage.ts";
import { trainRun } from "./train-run.ts";

/** State of training at a checkpoint. */
export interface TrainPoint {
  readonly step: number;
  /** MASK rows so far. */
  readonly positions: number;
  readonly elapsedMs: number;
  /** Mean since the point before. */
  readonly loss: number;
  readonly evaluation?: Evaluation;
}

export interface TrainFigures {
  /** Step of the checkpoint that is the adapter. */
  readonly step: number;
  readonly curve: readonly TrainPoint[];
  /** Times of forwards that the predictions are based on. */
  readonly forwards: MeasuredForwards;
  readonly evaluation?: Evaluation;
  readonly shape: {
    readonly masks: number;
    readonly entryLayer: number;
    readonly rank: number;
    readonly draftVocabulary: number;
  };
  /** Share of held-out tokens that can be proposed. */
  readonly coverage: number;
  readonly parameters: number;
}

const HELD_OUT_ROWS = 24;
/** Time between checkpoints, each with an evaluation: at least a twentieth of the run, within these limits. */
const [LEAST_SECONDS, MOST_SECONDS] = [60, 600];
/** A short run has fewer. */
const LEAST_CHECKPOINTS = 8;

export function adapterFolder(out: string): string {
  return join(out, "adapter");
}

/** Trains the adapter for some hours. */
export async function trainStage(
  context: StageContext,
  hours: number,
  settings: VariantSettings,
  rowsPerSecond: number,
): Promise<TrainFigures> {
  const { out, onProgress } = context;
  const all = hours * 3600;
  const interval = Math.min(MOST_SECONDS, Math.max(all / 20, Math.min(LEAST_SECONDS, all / LEAST_CHECKPOINTS)));
  const checkpointEvery = Math.max(1, Math.round((interval * rowsPerSecond) / trainingDefaults.batchRows));
  const folder = adapterFolder(out);
  const { adapter, steps, coverage, evaluation } = await trainRun(context, {
    out: folder,
    settings: { ...settings, hours },
    ...{ heldOutRows: HELD_OUT_ROWS, checkpointEvery },
    onEvent: (event) => {
      if (event.kind !== "step") return;
      const survival = event.survival.map((share) => share.toFixed(2).replace(/^0/, "")).join("/");
      onProgress(event.share, `survival ${survival}, loss ${event.loss.toFixed(2)}`);
    },
  });
  const log = new RunLog<Evaluation>(join(folder, "checkpoints", "log.jsonl"));
  log.readUpTo(Number.POSITIVE_INFINITY);
  const curve = log.entries.map(({ forwards: _, ...point }) => point);
  return {
    ...{ step: steps, curve, forwards: log.entries[0]?.forwards ?? [], coverage },
    ...(evaluation && { evaluation }),
    ...shapeOf(adapter),
  };
}

function shapeOf({ peft, idlm }: Adapter): Pick<TrainFigures, "shape" | "parameters"> {
  const modules = [...(peft?.modules.values() ?? [])];
  const { maskEmbedding, samplerHead, draftVocabulary, entryLayer = 0 } = idlm ?? {};
  const trained = [...modules.flatMap(({ a, b }) => [a, b]), maskEmbedding?.values, samplerHead?.w1, samplerHead?.w2];
  return {
    shape: {
      ...{ masks: maskEmbedding?.nDepths ?? 0, entryLayer, rank: peft?.config.rank ?? 0 },
      draftVocabulary: draftVocabulary?.length ?? 0,
    },
    parameters: trained.reduce((sum, values) => sum + (values?.length ?? 0), 0),
  };
}
