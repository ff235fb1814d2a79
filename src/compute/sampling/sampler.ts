import type { SamplerSettings } from "./settings.ts";

/** Sampler of one request: its settings and token counts. */
export interface Sampler {
  readonly settings: SamplerSettings;
  /** Counts the tokens of the prompt; before any `accept`. */
  prompt(tokens: Int32Array): void;
  /** Counts a verified token of the output. */
  accept(token: number): void;
}
