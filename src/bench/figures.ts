import { type Forest, type LoadedModel, PAGE_SIZE } from "../compute/backend.ts";
import type { NativeBackend } from "../compute/native/index.ts";
import { neutralSettings } from "../compute/sampling/settings.ts";
import type { Peer } from "./peer.ts";
import { median, type Spread, spread } from "./statistics.ts";

/** What is measured; every field is in milliseconds unless its name says otherwise. */
export interface Figures {
  /** Plain decoding: a token, after a prompt of 50 tokens, over 200 tokens, greedy. */
  readonly decodeMs: Spread;
  /** Read bandwidth in GB/s, and the share of it that plain decoding's weights take. */
  readonly bandwidthGBs: number;
  readonly shareOfBound: number;
  /** Forwards of token rows after 256 (and 4,096) positions, by number of rows. */
  readonly rowsMs: Readonly<Record<number, Spread>>;
  readonly rowsLongMs: Readonly<Record<number, Spread>>;
  /** A prompt of 512 tokens in one forward, logits of the last. */
  readonly prefillMs: Spread;
  readonly peers: readonly PeerFigures[];
  /** Parts of a one-row forward. */
  readonly partsMs: Readonly<Record<string, number>>;
}

export interface PeerFigures {
  readonly name: string;
  readonly system: string;
  readonly decodeMs: Spread;
  readonly rowsMs: Readonly<Record<number, Spread>>;
  readonly rowsLongMs: Readonly<Record<number, Spread>>;
  readonly prefillMs: Spread;
}

export interface MeasureOptions {
  /** Interleaved pairs; at least 9 for figures that are published. */
  readonly rounds: number;
  readonly signal: AbortSignal;
  readonly onStage: (text: string) => void;
}

const ROWS = [1, 2, 5, 8] as const;
const CONTEXT = 256;
const LONG_CONTEXT = 4096;
const PROMPT_TOKENS = 50;
const DECODED_TOKENS = 200;
const PREFILL_TOKENS = 512;
const MAX_POSITIONS = LONG_CONTEXT + 64;
/** A peer's threads spin for some milliseconds after their work; nobody is measured beside them. */
const SETTLE_MS = 40;
/** Larger than any last-level cache. */
const BANDWIDTH_BYTES = 512 * 2 ** 20;

/** Measures the model and the peers, one after the other in every round, so that what disturbs one disturbs all. */
export async function measure(
  backend: NativeBackend,
  model: LoadedModel,
  peers: readonly Peer[],
  options: MeasureOptions,
): Promise<Figures> {
  const { rounds, signal, onStage } = options;
  const own = new OwnModel(model);
  const ours = { decode: [] as number[], prefill: [] as number[], rows: table(), long: table() };
  const theirs = peers.map(() => ({ decode: [] as number[], prefill: [] as number[], rows: table(), long: table() }));

  for (let round = 0; round < rounds; round++) {
    signal.throwIfAborted();
    onStage(`round ${round + 1} of ${rounds}: decoding`);
    await settle();
    ours.decode.push((await own.decode()) / DECODED_TOKENS);
    for (const [i, peer] of peers.entries()) {
      const { ms } = await peer.ask({ op: "decode", prompt: promptIds(PROMPT_TOKENS), tokens: DECODED_TOKENS });
      theirs[i]?.decode.push(ms / DECODED_TOKENS);
    }
    onStage(`round ${round + 1} of ${rounds}: prefill`);
    await settle();
    await own.prefill();
    ours.prefill.push(await own.prefill());
    for (const [i, peer] of peers.entries()) {
      await peer.ask({ op: "prefill", tokens: PREFILL_TOKENS });
      theirs[i]?.prefill.push((await peer.ask({ op: "prefill", tokens: PREFILL_TOKENS })).ms);
    }
  }
  for (const [context, name, n] of [
    [CONTEXT, "rows", rounds * 3],
    [LONG_CONTEXT, "long", Math.min(rounds, 5)],
  ] as const) {
    await own.fill(context);
    for (let round = 0; round < n; round++) {
      signal.throwIfAborted();
      onStage(`rows after ${context} tokens: round ${round + 1} of ${n}`);
      await settle();
      // Once uncounted: what ran before has emptied the caches.
      await own.rows(1, context);
      for (const rows of ROWS) ours[name][rows].push(await own.rows(rows, context));
      for (const [i, peer] of peers.entries()) {
        await peer.ask({ op: "rows", rows: 1, context });
        for (const rows of ROWS) theirs[i]?.[name][rows].push((await peer.ask({ op: "rows", rows, context })).ms);
      }
    }
  }
  onStage("bandwidth");
  const bandwidthGBs = await backend.measureBandwidth(BANDWIDTH_BYTES, 9);
  const decodeMs = spread(ours.decode);
  return {
    decodeMs,
    bandwidthGBs,
    shareOfBound: model.weightBytes / 1e6 / bandwidthGBs / decodeMs.median,
    rowsMs: spreads(ours.rows),
    rowsLongMs: spreads(ours.long),
    prefillMs: spread(ours.prefill),
    peers: peers.map(({ name, system }, i) => {
      const found = theirs[i] as (typeof theirs)[number];
      return {
        name,
        system,
        decodeMs: spread(found.decode),
        rowsMs: spreads(found.rows),
        rowsLongMs: spreads(found.long),
        prefillMs: spread(found.prefill),
      };
    }),
    partsMs: await own.parts(),
  };
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

function promptIds(n: number): number[] {
  return Array.from({ length: n }, (_, i) => ((i * 7) % 40_000) + 100);
}

/** Forwards of our own engine. */
class OwnModel {
  readonly #model: LoadedModel;
  readonly #cache;
  readonly #pages: Int32Array;

  constructor(model: LoadedModel) {
    this.#model = model;
    this.#pages = Int32Array.from({ length: MAX_POSITIONS / PAGE_SIZE }, (_, i) => i);
    this.#cache = model.createCache(this.#pages.length);
  }

  /** Milliseconds of DECODED_TOKENS greedy tokens after the prompt, each drawn by the forward itself. */
  async decode(): Promise<number> {
    const sampler = this.#model.createSampler(neutralSettings);
    const prompt = promptIds(PROMPT_TOKENS);
    let token = await this.#draw(prompt, 0, sampler);
    const startMs = performance.now();
    for (let i = 0; i < DECODED_TOKENS; i++) token = await this.#draw([token], PROMPT_TOKENS + i, sampler);
    return performance.now() - startMs;
  }

  async prefill(): Promise<number> {
    const sampler = this.#model.createSampler(neutralSettings);
    const startMs = performance.now();
    await this.#draw(promptIds(PREFILL_TOKENS), 0, sampler);
    return performance.now() - startMs;
  }

  /** Fills the cache. */
  async fill(context: number): Promise<void> {
    const ids = promptIds(context);
    for (let at = 0; at < context; at += 256) {
      await this.#model.forward(this.#chain(ids.slice(at, at + 256), at, "none"), this.#cache);
    }
  }

  /** Milliseconds of a forward of n token rows after `context` positions, logits of all. */
  async rows(n: number, context: number): Promise<number> {
    const forest = this.#chain(promptIds(n), context, "all");
    const startMs = performance.now();
    await this.#model.forward(forest, this.#cache);
    return performance.now() - startMs;
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
    const draws = [{ row: tokens.length - 1, sampler, position: length + tokens.length, extra: [] }];
    const { drawn } = await this.#model.forward({ ...this.#chain(tokens, length, "last"), draws }, this.#cache);
    return drawn[0]?.token ?? 0;
  }

  #chain(tokens: readonly number[], length: number, wanted: "all" | "last" | "none"): Forest {
    const n = tokens.length;
    const rows = Int32Array.from({ length: n }, (_, i) => i);
    return {
      sequences: [{ length, pages: this.#pages }],
      tokens: Int32Array.from(tokens),
      positions: rows.map((i) => length + i),
      parents: rows.map((i) => i - 1),
      gate: new Uint8Array(n),
      sequence: new Int32Array(n),
      wanted: Uint8Array.from(rows, (i) => (wanted === "all" || (wanted === "last" && i === n - 1) ? 1 : 0)),
    };
  }
}
