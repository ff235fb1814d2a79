import type { Model } from "../engine/types.ts";
import type { Peer } from "./peer.ts";
import { median } from "./statistics.ts";

/** Tokens per second of plain decoding, at batch size 1 and above. */
export interface BatchFigures {
  readonly sequences: number;
  /** At batch size 1. */
  readonly one: number;
  readonly together: number;
  /** Median over rounds of `together` / `one`. */
  readonly speedUp: number;
  readonly peers: readonly { readonly name: string; readonly together: number; readonly ratio: number }[];
}

const PROMPT_TOKENS = 50;
const TOKENS = 48;

/** Measures batch size 1 and `sequences`, and the peers at `sequences`, interleaved. The model must allow as many sequences. */
export async function measureBatch(
  model: Model,
  peers: readonly Peer[],
  sequences: number,
  rounds: number,
  signal: AbortSignal,
): Promise<BatchFigures> {
  const one: number[] = [];
  const together: number[] = [];
  const others: number[][] = peers.map(() => []);
  for (let round = 0; round < rounds; round++) {
    signal.throwIfAborted();
    one.push(await tokensPerSecond(model, 1, round));
    together.push(await tokensPerSecond(model, sequences, round));
    for (const [i, peer] of peers.entries()) {
      const { ms } = await peer.ask({ op: "batch", sequences, prompt: PROMPT_TOKENS, tokens: TOKENS });
      others[i]?.push((sequences * TOKENS * 1000) / ms);
    }
  }
  const ratio = (of: readonly number[], over: readonly number[]) =>
    median(of.map((value, i) => value / (over[i] ?? 1)));
  return {
    sequences,
    one: median(one),
    together: median(together),
    speedUp: ratio(together, one),
    peers: peers.map(({ name }, i) => ({
      name,
      together: median(others[i] ?? []),
      ratio: ratio(together, others[i] ?? []),
    })),
  };
}

/** From the first token of all sequences to the end of the last one. */
async function tokensPerSecond(model: Model, sequences: number, round: number): Promise<number> {
  let nStarted = 0;
  let startMs = 0;
  let nTokens = 0;
  const read = async (ids: readonly number[]) => {
    let isStarted = false;
    for await (const { tokens } of model.generate({ ids, propose: "none", maxTokens: TOKENS + 2 })) {
      if (nStarted === sequences) nTokens += tokens.length;
      if (isStarted) continue;
      isStarted = true;
      if (++nStarted === sequences) startMs = performance.now();
    }
  };
  // Different prompts each time, so that none is cached, all of the same length.
  const first = 1000 + ((round * sequences * 97) % 20_000);
  const prompts = Array.from({ length: sequences }, (_, s) =>
    Array.from({ length: PROMPT_TOKENS }, (_, i) => (((first + s) * 31 + i * 7) % 40_000) + 100),
  );
  await Promise.all(prompts.map(read));
  return (nTokens * 1000) / (performance.now() - startMs);
}
