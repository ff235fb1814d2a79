import type { SamplerSettings } from "./settings.ts";

/** State of one request's sampler: its settings and the counts of its tokens. */
export interface Sampler {
  readonly settings: SamplerSettings;
  /** Tokens of the prompt; before any `accept`. */
  prompt(tokens: Int32Array): void;
  /** A verified token of the output. */
  accept(token: number): void;
  /** A bit per token of the vocabulary, 1: allowed; undefined: all are. Applies to later draws. */
  allow(mask: Uint32Array | undefined): void;
  dispose(): void;
}
