import type { SamplerSettings } from "./settings.ts";

/** State of one request's sampler: its settings and the counts of its tokens. */
export interface Sampler {
  readonly settings: SamplerSettings;
  /** Tokens of the prompt; before any `accept`. */
  prompt(tokens: Int32Array): void;
  /** A verified token of the output. */
  accept(token: number): void;
  dispose(): void;
}
