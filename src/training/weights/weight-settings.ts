import type { RunLength } from "../settings.ts";

/** Types that the result's weights are stored in. */
export type WeightStore = "bf16" | "f32";

/** Settings that determine the result of a training of all weights, together with model and data. */
export interface WeightSettings extends RunLength {
  /** full: clean rows and MASK runs in one forward (arXiv 2604.11035); plain: clean rows. */
  readonly objective: "full" | "plain";
  readonly seed: number;
  /** Largest block of MASKs; blocks grow from 1 in equal stages. 0: plain. */
  readonly masks: number;
  /** Factor of the clean rows' loss. In the last stage of full training it is the noisy rows' loss / the clean rows'. */
  readonly cleanWeight: number;
  readonly learningRate: number;
  /** AdamW's, of matrices. */
  readonly weightDecay: number;
  /** Rows with a target of a step, about. */
  readonly batchRows: number;
  readonly store: WeightStore;
}

const common = { seed: 0, weightDecay: 0.1, store: "bf16" } as const;

export const weightDefaults = {
  full: { ...common, objective: "full", masks: 3, cleanWeight: 0.2, learningRate: 3e-4, batchRows: 1024 },
  plain: { ...common, objective: "plain", masks: 0, cleanWeight: 1, learningRate: 2e-3, batchRows: 1024 },
} as const satisfies Record<string, Partial<WeightSettings>>;

/** Blocks and the clean rows' factor after a share of the run; block 0: no MASKs. */
export function stageAt(
  share: number,
  { masks, cleanWeight }: Pick<WeightSettings, "masks" | "cleanWeight">,
): { readonly block: number; readonly alpha: number | "auto" } {
  if (masks === 0) return { block: 0, alpha: cleanWeight };
  const block = Math.min(masks, 1 + Math.floor(share * masks));
  return { block, alpha: block === masks && masks > 1 ? "auto" : cleanWeight };
}
