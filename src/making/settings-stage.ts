import { rmSync } from "node:fs";
import { join } from "node:path";
import type { DepthFigures } from "../training/evaluation/evaluate.ts";
import type { PredictedSpeed } from "../training/evaluation/predict-speed.ts";
import { trainingDefaults } from "../training/settings.ts";
import type { StageContext } from "./context.ts";
import { LEAST_VARIANT_STEPS, type Plan } from "./plan.ts";
import { trainRun } from "./train-run.ts";

/** What the comparison changes; absent: the default. */
export interface VariantSettings {
  readonly entryLayer?: number;
  readonly masks?: number;
}

/** A setting that was tried, and what it came to. */
export interface VariantFigures {
  readonly name: string;
  readonly settings: VariantSettings;
  readonly steps: number;
  readonly survival: DepthFigures["survival"];
  /** Of the best shape with proposals over plain decoding, as predicted; below 1 while training is short. */
  readonly speedUp: number;
  readonly predicted: PredictedSpeed | undefined;
}

export interface SettingsFigures {
  readonly secondsEach: number;
  /** The defaults first; empty if there was no time. */
  readonly variants: readonly VariantFigures[];
  readonly chosen: VariantSettings;
}

/** Predictions that differ by less are equal: the defaults win. */
const LEAST_GAIN = 1.01;
const HELD_OUT_ROWS = 12;
/** Only the last step is evaluated. */
const NO_CHECKPOINT = 1_000_000_000;

/** Settings whose best value depends on the machine: how much MASK rows cost there. */
function variantsOf(nLayers: number): { readonly name: string; readonly settings: VariantSettings }[] {
  const at = (share: number) => Math.floor(share * nLayers);
  return [
    { name: `${trainingDefaults.masks} MASKs from layer ${at(2 / 3)}`, settings: {} },
    { name: `2 MASKs from layer ${at(2 / 3)}`, settings: { masks: 2 } },
    { name: `${trainingDefaults.masks} MASKs from layer ${at(1 / 3)}`, settings: { entryLayer: at(1 / 3) } },
    { name: `${trainingDefaults.masks} MASKs from layer 0`, settings: { entryLayer: 0 } },
  ];
}

/** Trains a short while with each of some settings, and chooses those with the best predicted speed. */
export async function settingsStage(
  context: StageContext,
  { variants: nVariants, seconds }: Plan,
  earlier: readonly VariantFigures[],
  onVariant: (variants: readonly VariantFigures[]) => void,
): Promise<SettingsFigures> {
  const { base, out, signal, onProgress } = context;
  if (nVariants < 2) return { secondsEach: 0, variants: [], chosen: {} };
  const secondsEach = seconds.settings / nVariants;
  const found = [...earlier];
  const folder = join(out, "settings");
  for (const { name, settings } of variantsOf(base.opened.config.nLayers).slice(found.length, nVariants)) {
    signal.throwIfAborted();
    const done = found.length;
    const result = await trainRun(context, {
      out: join(folder, String(done)),
      settings: { ...settings, hours: secondsEach / 3600 },
      ...{ heldOutRows: HELD_OUT_ROWS, checkpointEvery: NO_CHECKPOINT },
      onEvent: (event) => {
        if (event.kind === "step") onProgress((done + event.share) / nVariants, name);
      },
    });
    const { steps, evaluation } = result;
    const { survival = [], predicted } = evaluation ?? {};
    const speedUp = proposingSpeedUp(predicted);
    found.push({ name, settings, steps, survival, speedUp, predicted });
    onVariant(found);
    rmSync(join(folder, String(done)), { recursive: true, force: true });
  }
  rmSync(folder, { recursive: true, force: true });
  return { secondsEach, variants: found, chosen: chooseSettings(found) };
}

/**
 * Whether the variants can be compared. On a machine that other programs keep busy some have far fewer steps in the same
 * time than others.
 */
export function isComparable(variants: readonly VariantFigures[]): boolean {
  return variants.every(({ steps }) => steps >= LEAST_VARIANT_STEPS / 2);
}

/** Those with the best predicted speed; the defaults, which come first, unless others are clearly better. */
export function chooseSettings(variants: readonly VariantFigures[]): VariantSettings {
  const [defaults, ...others] = variants;
  if (defaults === undefined || !isComparable(variants)) return {};
  const best = others.reduce((a, b) => (b.speedUp > a.speedUp ? b : a), defaults);
  return best.speedUp > LEAST_GAIN * defaults.speedUp ? best.settings : {};
}

function proposingSpeedUp(predicted: PredictedSpeed | undefined): number {
  const speeds = predicted?.shapes?.filter(({ length }) => length > 0).map(({ tokensPerSecond }) => tokensPerSecond);
  if (predicted === undefined || speeds === undefined) return 1;
  return Math.max(...speeds) / predicted.plainTokensPerSecond;
}
