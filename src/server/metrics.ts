import { Counter, Gauge, Histogram, type MetricConfiguration, Registry } from "prom-client";
import type { GenerationResult, ModelObserver, ModelStats } from "../engine/types.ts";
import { PendingValues } from "./pending-values.ts";

const PREFIX = "idlm:";
const VLLM_PREFIX = "vllm:";

/** Metrics of our own, which have no name of vLLM. */
const ownMetrics: readonly string[] = ["forwards_total", "rows_per_forward", "tokens_per_forward"];

/** Bounds of the histograms, as vLLM has them; seconds. */
const firstTokenSeconds = [
  ...[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160],
];
const betweenTokensSeconds = [
  0.001, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 10,
];
const requestSeconds = [0.05, 0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960];
const rowBounds = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];
const tokenBounds = [1, 2, 3, 4, 5, 6, 7, 8];

/** vLLM's names of the ways in which a sequence ends. */
const finishNames: Readonly<Record<GenerationResult["finishReason"], string>> = {
  stop: "stop",
  length: "length",
  cancelled: "abort",
};

/** A loaded model, as far as gauges need it. */
export interface MeasuredModel {
  readonly name: string;
  readonly stats: () => ModelStats;
}

/** Metrics for Prometheus, labelled with the name of the model. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #models: () => readonly MeasuredModel[];
  readonly #hasVllmNames: boolean;
  readonly #counters: Readonly<Record<CounterName, Counter>>;
  readonly #histograms: Readonly<Record<HistogramName, Histogram>>;
  /** By model; a model that is loaded again keeps its own. */
  readonly #observers = new Map<string, ModelObserver>();
  readonly #pendingValues: PendingValues[] = [];

  constructor(models: () => readonly MeasuredModel[], { vllm }: { readonly vllm: boolean }) {
    this.#models = models;
    this.#hasVllmNames = vllm;
    this.#counters = mapValues<CounterName, CounterInfo, Counter>(counters, ({ help, label }, name) => {
      const labelNames = ["model_name", ...(label === undefined ? [] : [label])];
      return new Counter({ ...this.#named(name, help), labelNames });
    });
    this.#histograms = mapValues(histograms, ({ help, buckets }, name) => {
      return new Histogram({ ...this.#named(name, help), labelNames: ["model_name"], buckets: [...buckets] });
    });
    this.#gauge("num_requests_running", "sequences that are generated now", ({ sequences }) =>
      count(sequences, ({ isRunning }) => isRunning),
    );
    this.#gauge("num_requests_waiting", "sequences that wait for a slot", ({ sequences }) =>
      count(sequences, ({ isRunning }) => !isRunning),
    );
    this.#gauge("kv_cache_usage_perc", "share of the KV cache that running sequences use, 0 to 1", ({ cachePages }) =>
      cachePages.total === 0 ? 0 : cachePages.used / cachePages.total,
    );
    this.#addCacheConfig();
    this.#addProcess();
  }

  /** Counts what a model does. */
  observer(model: string): ModelObserver {
    const known = this.#observers.get(model);
    if (known !== undefined) return known;
    const observer = this.#observe(model);
    this.#observers.set(model, observer);
    return observer;
  }

  #observe(model: string): ModelObserver {
    const labels = { model_name: model };
    // Looked up once, not in every forward.
    const forwards = this.#counters.forwards_total.labels(labels);
    const preemptions = this.#counters.num_preemptions_total.labels(labels);
    preemptions.inc(0);
    const generated = this.#counters.generation_tokens_total.labels(labels);
    const rows = this.#histograms.rows_per_forward.labels(labels);
    const tokensOf = this.#histograms.tokens_per_forward.labels(labels);
    const between = this.#histograms.inter_token_latency_seconds.labels(labels);
    const rowsOfForwards = this.#pending((n) => {
      forwards.inc();
      rows.observe(n);
    });
    const tokensOfForwards = this.#pending((n) => {
      tokensOf.observe(n);
      generated.inc(n);
    });
    const betweenMs = this.#pending((ms) => between.observe(ms / 1000));
    return {
      onForward: (forward) => {
        rowsOfForwards.push(forward.rows);
        if (forward.preemptions > 0) preemptions.inc(forward.preemptions);
      },
      onTokens: ({ tokens, ms }) => {
        tokensOfForwards.push(tokens);
        if (ms !== undefined) betweenMs.push(ms);
      },
      onEnd: (result, queueMs) => this.#countEnd(labels, result, queueMs),
    };
  }

  /** All metrics in Prometheus's text format. */
  async text(): Promise<string> {
    for (const values of this.#pendingValues) values.flush();
    const text = await this.#registry.metrics();
    return this.#hasVllmNames ? `${text}${vllmNames(text)}` : text;
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  #pending(record: (value: number) => void): PendingValues {
    const values = new PendingValues(record);
    this.#pendingValues.push(values);
    return values;
  }

  #countEnd(labels: { readonly model_name: string }, result: GenerationResult | Error, queueMs: number): void {
    const c = this.#counters;
    const h = this.#histograms;
    const reason = result instanceof Error ? "error" : finishNames[result.finishReason];
    c.request_success_total.labels({ ...labels, finished_reason: reason }).inc();
    h.request_queue_time_seconds.labels(labels).observe(queueMs / 1000);
    if (result instanceof Error) return;
    const { prefillMs, decodeMs, promptTokens, cachedTokens, proposedByDepth, acceptedByDepth, rounds } = result;
    c.prompt_tokens_total.labels(labels).inc(promptTokens);
    c.prefix_cache_queries_total.labels(labels).inc(promptTokens);
    c.prefix_cache_hits_total.labels(labels).inc(cachedTokens);
    if (result.forwards > 0) h.time_to_first_token_seconds.labels(labels).observe((queueMs + prefillMs) / 1000);
    h.e2e_request_latency_seconds.labels(labels).observe((queueMs + prefillMs + decodeMs) / 1000);
    const nDrafts = rounds.reduce((sum, { proposals, rounds: n }) => sum + (proposals > 0 ? n : 0), 0);
    c.spec_decode_num_drafts_total.labels(labels).inc(nDrafts);
    c.spec_decode_num_draft_tokens_total.labels(labels).inc(total(proposedByDepth));
    c.spec_decode_num_accepted_tokens_total.labels(labels).inc(total(acceptedByDepth));
    for (const [position, n] of acceptedByDepth.entries()) {
      c.spec_decode_num_accepted_tokens_per_pos_total.labels({ ...labels, position: String(position) }).inc(n);
    }
  }

  #gauge(name: string, help: string, measure: (stats: ModelStats) => number): void {
    const models = this.#models;
    new Gauge({
      ...this.#named(name, help),
      labelNames: ["model_name"],
      collect() {
        this.reset();
        for (const { name: model, stats } of models()) this.labels({ model_name: model }).set(measure(stats()));
      },
    });
  }

  #addCacheConfig(): void {
    const models = this.#models;
    new Gauge({
      ...this.#named("cache_config_info", "size of the KV cache: tokens of a block, and blocks (always 1)"),
      labelNames: ["model_name", "block_size", "num_gpu_blocks"],
      collect() {
        this.reset();
        for (const { name, stats } of models()) {
          const { size, total: blocks } = stats().cachePages;
          this.labels({ model_name: name, block_size: String(size), num_gpu_blocks: String(blocks) }).set(1);
        }
      },
    });
  }

  #addProcess(): void {
    new Gauge({
      name: "process_resident_memory_bytes",
      help: "resident memory of the process",
      registers: [this.#registry],
      collect() {
        this.set(process.memoryUsage.rss());
      },
    });
  }

  #named(name: string, help: string): MetricConfiguration<string> {
    return { name: `${PREFIX}${name}`, help, registers: [this.#registry] };
  }
}

interface CounterInfo {
  readonly help: string;
  readonly label?: string;
}

const counters = {
  prefix_cache_queries_total: { help: "prompt tokens that were looked up in the prefix cache" },
  prefix_cache_hits_total: { help: "prompt tokens that were found there" },
  prompt_tokens_total: { help: "tokens of prompts" },
  generation_tokens_total: { help: "generated tokens" },
  num_preemptions_total: { help: "sequences that gave up their slot to another" },
  request_success_total: { help: "sequences that ended, by reason", label: "finished_reason" },
  spec_decode_num_drafts_total: { help: "rounds with proposals" },
  spec_decode_num_draft_tokens_total: { help: "proposed tokens" },
  spec_decode_num_accepted_tokens_total: { help: "accepted proposals" },
  spec_decode_num_accepted_tokens_per_pos_total: { help: "accepted proposals, by depth from 0", label: "position" },
  forwards_total: { help: "forwards of the model" },
} satisfies Record<string, CounterInfo>;

type CounterName = keyof typeof counters;

const histograms = {
  time_to_first_token_seconds: { help: "from the request to its first token", buckets: firstTokenSeconds },
  inter_token_latency_seconds: { help: "between two rounds of a sequence", buckets: betweenTokensSeconds },
  e2e_request_latency_seconds: { help: "from the request to its end", buckets: requestSeconds },
  request_queue_time_seconds: { help: "from the request to its start", buckets: requestSeconds },
  rows_per_forward: { help: "rows of a forward, of all sequences", buckets: rowBounds },
  tokens_per_forward: { help: "tokens that a sequence got from a forward", buckets: tokenBounds },
} as const satisfies Record<string, { readonly help: string; readonly buckets: readonly number[] }>;

type HistogramName = keyof typeof histograms;

/** The same metrics under vLLM's names, except those that it does not have. */
function vllmNames(text: string): string {
  const blocks = text.split(/\n(?=# HELP )/).filter((block) => {
    const [, name = ""] = /^# HELP idlm:(\S+)/.exec(block) ?? [];
    return name !== "" && !ownMetrics.includes(name);
  });
  return blocks.map((block) => `${block.replaceAll(/^(# \w+ )?idlm:/gm, `$1${VLLM_PREFIX}`).trimEnd()}\n`).join("\n");
}

function mapValues<K extends string, T, R>(
  table: Readonly<Record<K, T>>,
  make: (value: T, name: K) => R,
): Readonly<Record<K, R>> {
  const entries = Object.entries(table) as [K, T][];
  return Object.fromEntries(entries.map(([name, value]) => [name, make(value, name)])) as Record<K, R>;
}

function count<T>(items: readonly T[], matches: (item: T) => boolean): number {
  return items.filter(matches).length;
}

function total(numbers: readonly number[]): number {
  return numbers.reduce((sum, n) => sum + n, 0);
}
