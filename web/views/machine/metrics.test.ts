import { expect, it } from "vitest";
import { inWords, Metrics } from "./metrics.ts";

const page = `# HELP idlm:num_requests_running Answers
# TYPE idlm:num_requests_running gauge
idlm:num_requests_running{model_name="a"} 1
idlm:num_requests_running{model_name="b"} 0
idlm:num_requests_waiting{model_name="a"} 3
idlm:request_success_total{model_name="a",finished_reason="stop"} 2
idlm:request_success_total{finished_reason="length",model_name="b"} 1
idlm:request_success_total{finished_reason="cancelled",model_name="b"} 0
idlm:spec_decode_num_draft_tokens_total 200
idlm:spec_decode_num_accepted_tokens_total 130
idlm:time_to_first_token_seconds_sum 0.25
idlm:time_to_first_token_seconds_count 10
idlm:rows_per_forward_sum 80
idlm:rows_per_forward_count 60
idlm:tokens_per_forward_sum{model_name="a"} 90
idlm:tokens_per_forward_count{model_name="a"} 60
idlm:kv_cache_usage_perc 0.04
`;

it("says in sentences what the metrics say, and nothing of those that are absent", () => {
  expect(inWords(new Metrics(page))).toEqual([
    "1 answer being generated, 3 requests waiting.",
    "3 answers since the start: 2 ended by stop, 1 ended by length.",
    "A forward has 1.3 rows on average, and gives an answer 1.50 tokens.",
    "65 % of 200 proposals stood.",
    "The KV cache is 4 % full.",
    "The first token comes after 25 ms, on average.",
  ]);
  expect(inWords(new Metrics(""))).toEqual([]);
});
