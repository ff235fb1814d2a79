import type { LoadedModel } from "../compute/loaded-model.ts";
import type { NativeBackend } from "../compute/native/index.ts";
import { CONTEXT, LONG_CONTEXT, OwnModel, PREFILL_TOKENS, PROMPT_TOKENS } from "./own-model.ts";
import type { Peer } from "./peer.ts";
import { BANDWIDTH_BYTES, forwardWork } from "./roofs.ts";
import { type Spread, spread } from "./statistics.ts";

/** What can be measured, in this order. */
export const measurements = ["decode", "prefill", "rows", "long"] as const;
export type Measurement = (typeof measurements)[number];

/** Times of one engine in milliseconds; undefined if not measured. */
export interface EngineFigures {
  /** Plain greedy decoding, per token, after a prompt of 50 tokens. */
  readonly decodeMs?: Spread;
  /** A prompt of 512 tokens in one forward, with the logits of the last row. */
  readonly prefillMs?: Spread;
  /** Forwards of token rows after 256 (and 4,096) positions, by number of rows. */
  readonly rowsMs?: Readonly<Record<number, Spread>>;
  readonly rowsLongMs?: Readonly<Record<number, Spread>>;
}

export interface PeerFigures extends EngineFigures {
  readonly name: string;
  readonly system: string;
}

export interface Figures extends EngineFigures {
  /** Read bandwidth in GB/s, and the share of it that plain decoding reaches in reading weights. */
  readonly bandwidthGBs?: number;
  readonly shareOfBound?: number;
  readonly peers: readonly PeerFigures[];
  /** Parts of a one-row forward. */
  readonly partsMs?: Readonly<Record<string, number>>;
}

export interface MeasureOptions {
  /** Interleaved rounds; at least 9 for figures to publish. */
  readonly rounds: number;
  readonly decodedTokens: number;
  readonly what: ReadonlySet<Measurement>;
  readonly signal: AbortSignal;
  readonly onStage: (text: string) => void;
}

const ROWS = [1, 2, 5, 8] as const;
/** A peer's threads spin for some milliseconds after their work; measurements wait until they stop. */
const SETTLE_MS = 40;

/** Measures the model and the peers, interleaved in every round, so that disturbances affect all of them. */
export async function measure(
  backend: NativeBackend,
  model: LoadedModel,
  peers: readonly Peer[],
  options: MeasureOptions,
): Promise<Figures> {
  const { rounds, what, signal, onStage } = options;
  const own = new OwnModel(model, options.decodedTokens);
  const engines = [ownEngine(own), ...peers.map((peer) => peerEngine(peer, own, options.decodedTokens))];
  const samples = engines.map(() => new Samples());
  const bandwidths: number[] = [];

  for (const kind of ["decode", "prefill"] as const) {
    for (let round = 0; what.has(kind) && round < rounds; round++) {
      signal.throwIfAborted();
      onStage(`round ${round + 1} of ${rounds}: ${kind === "decode" ? "decoding" : "prefill"}`);
      // The available bandwidth also changes from minute to minute on shared machines.
      if (kind === "decode") bandwidths.push(await backend.measureBandwidth(BANDWIDTH_BYTES, 3));
      for (const [i, engine] of engines.entries()) {
        await settle();
        samples[i]?.[kind].push(await engine[kind]());
      }
    }
  }
  for (const [context, name, n] of [
    [CONTEXT, "rows", rounds * 3],
    [LONG_CONTEXT, "long", Math.min(rounds, 5)],
  ] as const) {
    if (!what.has(name)) continue;
    onStage(`filling the cache with ${context} tokens`);
    await own.fill(context);
    for (let round = 0; round < n; round++) {
      signal.throwIfAborted();
      onStage(`rows after ${context} tokens: round ${round + 1} of ${n}`);
      for (const [i, engine] of engines.entries()) {
        await settle();
        // Warm-up: the previous work has evicted the caches.
        await engine.rows(1, context);
        for (const rows of ROWS) samples[i]?.[name][rows].push(await engine.rows(rows, context));
      }
    }
  }
  const [ours = {}, ...theirs] = samples.map((found) => found.figures());
  const bandwidthGBs = bandwidths.length === 0 ? undefined : spread(bandwidths).median;
  return {
    ...ours,
    ...(bandwidthGBs !== undefined &&
      ours.decodeMs !== undefined && {
        bandwidthGBs,
        shareOfBound: forwardWork(model).bytesPerForward / 1e6 / bandwidthGBs / ours.decodeMs.median,
      }),
    peers: peers.map(({ name, system }, i) => ({ name, system, ...theirs[i] })),
    ...(what.has("rows") && { partsMs: await own.parts() }),
  };
}

/** An engine to measure; times in milliseconds. */
interface Engine {
  decode(): Promise<number>;
  prefill(): Promise<number>;
  rows(rows: number, context: number): Promise<number>;
}

/** Times the second of two runs: the first warms caches and memory. */
async function second(time: () => Promise<number>): Promise<number> {
  await time();
  return time();
}

function ownEngine(model: OwnModel): Engine {
  return {
    decode: () => model.decode(),
    prefill: () => second(() => model.prefill()),
    rows: (rows, context) => model.rows(rows, context),
  };
}

function peerEngine(peer: Peer, model: OwnModel, tokens: number): Engine {
  const prompt = model.promptIds(PROMPT_TOKENS);
  return {
    decode: async () => (await peer.ask({ op: "decode", prompt, tokens })).ms / tokens,
    prefill: () => second(async () => (await peer.ask({ op: "prefill", tokens: PREFILL_TOKENS })).ms),
    rows: async (rows, context) => (await peer.ask({ op: "rows", rows, context })).ms,
  };
}

class Samples {
  readonly decode: number[] = [];
  readonly prefill: number[] = [];
  readonly rows = table();
  readonly long = table();

  figures(): EngineFigures {
    return {
      ...(this.decode.length > 0 && { decodeMs: spread(this.decode) }),
      ...(this.prefill.length > 0 && { prefillMs: spread(this.prefill) }),
      ...(this.rows[1].length > 0 && { rowsMs: spreads(this.rows) }),
      ...(this.long[1].length > 0 && { rowsLongMs: spreads(this.long) }),
    };
  }
}

function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
}

function table(): Record<(typeof ROWS)[number], number[]> {
  return { 1: [], 2: [], 5: [], 8: [] };
}

function spreads(values: Record<number, number[]>): Record<number, Spread> {
  return Object.fromEntries(Object.entries(values).map(([rows, list]) => [rows, spread(list)]));
}
