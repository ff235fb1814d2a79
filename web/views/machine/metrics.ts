/** Samples of a metrics page (Prometheus text format): sums over all labels but those asked for. */
export class Metrics {
  readonly #samples: { readonly name: string; readonly labels: string; readonly value: number }[];

  constructor(text: string) {
    this.#samples = text.split("\n").flatMap((line) => {
      const [, name, labels = "", value] = /^([\w:]+)(?:\{(.*)\})? (\S+)/.exec(line) ?? [];
      return name === undefined || Number.isNaN(Number(value)) ? [] : [{ name, labels, value: Number(value) }];
    });
  }

  /** Undefined if there is no such metric. */
  sum(name: string): number | undefined {
    const found = this.#samples.filter((sample) => sample.name === name);
    return found.length === 0 ? undefined : found.reduce((sum, { value }) => sum + value, 0);
  }

  /** Sums by the value of a label. */
  by(name: string, label: string): ReadonlyMap<string, number> {
    const sums = new Map<string, number>();
    for (const sample of this.#samples) {
      const [, value] = new RegExp(`(?:^|,)${label}="([^"]*)"`).exec(sample.labels) ?? [];
      if (sample.name === name && value !== undefined) sums.set(value, (sums.get(value) ?? 0) + sample.value);
    }
    return sums;
  }
}

const count = (value: number, one: string, many = `${one}s`) =>
  `${Math.round(value).toLocaleString("en")} ${Math.round(value) === 1 ? one : many}`;
const ms = (seconds: number) => (seconds < 1 ? `${(1000 * seconds).toFixed(0)} ms` : `${seconds.toFixed(2)} s`);
const percent = (share: number) => `${(100 * share).toFixed(0)} %`;

/** What the metrics say, in sentences. Metrics that are absent are left out. */
export function inWords(metrics: Metrics): readonly string[] {
  const get = (name: string) => metrics.sum(`idlm:${name}`);
  const mean = (name: string) => {
    const [sum, n] = [get(`${name}_sum`), get(`${name}_count`)];
    return sum === undefined || n === undefined || n === 0 ? undefined : sum / n;
  };
  const sentences: string[] = [];
  const say = (text: (...values: number[]) => string, ...values: (number | undefined)[]) => {
    if (values.every((value) => value !== undefined)) sentences.push(text(...(values as number[])));
  };
  say(
    (active, waiting) => `${count(active, "answer")} being generated, ${count(waiting, "request")} waiting.`,
    ...[get("num_requests_running"), get("num_requests_waiting")],
  );
  const reasons = [...metrics.by("idlm:request_success_total", "finished_reason")].filter(([, n]) => n > 0);
  const answers = reasons.reduce((sum, [, n]) => sum + n, 0);
  if (answers > 0) {
    const text = reasons.map(([reason, n]) => `${count(n, "ended", "ended")} by ${reason}`).join(", ");
    sentences.push(`${count(answers, "answer")} since the start: ${text}.`);
  }
  const [tokens, forwards] = [get("generation_tokens_total"), get("forwards_total")];
  say(
    (n, prompt) => `${count(n, "token")} generated after ${count(prompt, "prompt token")}.`,
    tokens,
    get("prompt_tokens_total"),
  );
  say((n) => `${count(n, "forward")} of the model.`, forwards);
  say(
    (rows, each) => `A forward has ${rows.toFixed(1)} rows on average, and gives an answer ${each.toFixed(2)} tokens.`,
    ...[mean("rows_per_forward"), mean("tokens_per_forward")],
  );
  const [drafted, accepted] = [get("spec_decode_num_draft_tokens_total"), get("spec_decode_num_accepted_tokens_total")];
  if (drafted !== undefined && drafted > 0) {
    say((n) => `${percent(n / drafted)} of ${count(drafted, "proposal")} stood.`, accepted);
  }
  const [queries, hits] = [get("prefix_cache_queries_total"), get("prefix_cache_hits_total")];
  if (queries !== undefined && queries > 0) {
    say((n) => `${percent(n / queries)} of the prompt tokens were found in the prefix cache.`, hits);
  }
  say((share) => `The KV cache is ${percent(share)} full.`, get("kv_cache_usage_perc"));
  say((seconds) => `The first token comes after ${ms(seconds)}, on average.`, mean("time_to_first_token_seconds"));
  say((seconds) => `${ms(seconds)} between tokens, on average.`, mean("inter_token_latency_seconds"));
  say((seconds) => `${ms(seconds)} in the queue, on average.`, mean("request_queue_time_seconds"));
  return sentences;
}
