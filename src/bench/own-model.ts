import { type Forest, PAGE_SIZE } from "../compute/forest/forest.ts";
import type { ForwardResult, LoadedModel } from "../compute/loaded-model.ts";
import { neutralSettings } from "../compute/sampling/settings.ts";
import { median } from "./statistics.ts";

export const CONTEXT = 256;
export const LONG_CONTEXT = 4096;
export const PROMPT_TOKENS = 50;
export const PREFILL_TOKENS = 512;
/** Size of the cache. */
export const MAX_POSITIONS = LONG_CONTEXT + 256;

/** Times forwards of our own engine. */
export class OwnModel {
  readonly #model: LoadedModel;
  readonly #cache;
  readonly #pages: Int32Array;
  readonly #decodedTokens: number;

  constructor(model: LoadedModel, decodedTokens: number) {
    this.#model = model;
    this.#decodedTokens = decodedTokens;
    this.#pages = Int32Array.from({ length: MAX_POSITIONS / PAGE_SIZE }, (_, i) => i);
    this.#cache = model.createCache(this.#pages.length);
  }

  /** Milliseconds per token of greedy decoding after the prompt, each token sampled by the forward. */
  async decode(): Promise<number> {
    const sampler = this.#model.createSampler(neutralSettings);
    let token = await this.#draw(this.promptIds(PROMPT_TOKENS), 0, sampler);
    const startMs = performance.now();
    for (let i = 0; i < this.#decodedTokens; i++) token = await this.#draw([token], PROMPT_TOKENS + i, sampler);
    return (performance.now() - startMs) / this.#decodedTokens;
  }

  async prefill(): Promise<number> {
    const sampler = this.#model.createSampler(neutralSettings);
    const startMs = performance.now();
    await this.#draw(this.promptIds(PREFILL_TOKENS), 0, sampler);
    return performance.now() - startMs;
  }

  /** Token ids of a prompt; peers use the same. */
  promptIds(n: number): number[] {
    return Array.from(
      { length: n },
      (_, i) => ((i * 7) % (Math.min(this.#model.program.sizes.vocabSize, 40_100) - 100)) + 100,
    );
  }

  /** Fills the cache. */
  async fill(context: number): Promise<void> {
    const ids = this.promptIds(context);
    for (let at = 0; at < context; at += 256) {
      await this.#model.forward(this.#chain(ids.slice(at, at + 256), at, "none"), this.#cache);
    }
  }

  /** Milliseconds of a forward of n token rows after `context` positions, with all logits. */
  async rows(n: number, context: number): Promise<number> {
    const startMs = performance.now();
    await this.forward(n, context);
    return performance.now() - startMs;
  }

  /** A forward of n token rows after `context` positions, with all logits. */
  forward(n: number, context: number): Promise<ForwardResult> {
    return this.#model.forward(this.#chain(this.promptIds(n), context, "all"), this.#cache);
  }

  /** Medians of the parts of a one-row forward after CONTEXT positions. */
  async parts(): Promise<Record<string, number>> {
    await this.fill(CONTEXT);
    const samples: Record<string, number[]> = {};
    this.#model.timings?.();
    for (let i = 0; i < 50; i++) {
      await this.rows(1, CONTEXT);
      for (const [part, ms] of Object.entries(this.#model.timings?.() ?? {})) {
        samples[part] ??= [];
        samples[part].push(ms);
      }
    }
    return Object.fromEntries(Object.entries(samples).map(([part, list]) => [part, median(list)]));
  }

  async #draw(tokens: readonly number[], length: number, sampler: ReturnType<LoadedModel["createSampler"]>) {
    const draws = [{ row: tokens.length - 1, sampler, position: length + tokens.length, unverified: [] }];
    const { drawn } = await this.#model.forward(this.#chain(tokens, length, "last"), this.#cache, { draws });
    return drawn[0]?.token ?? 0;
  }

  #chain(tokens: readonly number[], length: number, output: "all" | "last" | "none"): Forest {
    const n = tokens.length;
    const rows = Int32Array.from({ length: n }, (_, i) => i);
    return {
      sequences: [{ length, pages: this.#pages }],
      tokens: Int32Array.from(tokens),
      positions: rows.map((i) => length + i),
      parents: rows.map((i) => i - 1),
      gate: new Uint8Array(n),
      sequence: new Int32Array(n),
      needsOutput: Uint8Array.from(rows, (i) => (output === "all" || (output === "last" && i === n - 1) ? 1 : 0)),
    };
  }
}
