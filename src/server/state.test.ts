import { describe, expect, it } from "vitest";
import { z } from "zod";
import { endpoints, readOpenAiRequest } from "../apis/openai/request.ts";
import { bodySchemas, responseSchemas } from "./routes/openai-schemas.ts";
import { engineOver } from "../../test/support/fake-engine.ts";
import { FakeModel } from "../../test/support/fake-model.ts";
import { fakeTokenizer } from "../../test/support/fake-tokenizer.ts";
import { startTestServer } from "../../test/support/test-server.ts";

interface Description {
  readonly openapi: string;
  readonly paths: Readonly<
    Record<
      string,
      Record<
        string,
        { responses: Record<string, { content?: Record<string, { schema?: z.core.JSONSchema.BaseSchema }> }> }
      >
    >
  >;
}

describe("state", () => {
  it("has the forms that GET /openapi.json says, before and after a model is loaded", async () => {
    const { get, post, stop } = await startTestServer();
    const description: Description = JSON.parse(await (await get("/openapi.json")).text());
    expect(description.openapi).toBe("3.1.0");
    expect(Object.keys(description.paths)).toEqual(
      expect.arrayContaining([
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/models/{id}",
        "/metrics",
        "/openapi.json",
      ]),
    );
    for (const isLoaded of [false, true]) {
      if (isLoaded) await (await post("/v1/completions", { model: "m", prompt: "a", max_tokens: 2 })).text();
      for (const [path, { get: route }] of Object.entries(description.paths)) {
        if (route === undefined || path === "/" || path.startsWith("/v1/responses") || path.startsWith("/api"))
          continue;
        const response = await get(path.replace("{id}", "m"));
        const { content = {} } = route.responses[String(response.status)] ?? {};
        const [[type = "", { schema = {} } = {}] = []] = Object.entries(content);
        expect(response.headers.get("content-type"), path).toContain(type);
        const text = await response.text();
        const body: unknown = type === "application/json" ? JSON.parse(text) : text;
        z.fromJSONSchema(schema as never).parse(body);
      }
    }
    await stop();
  });

  it("tells clients of llama-server and vLLM the template and the special tokens of the model", async () => {
    const tokenizer = { ...fakeTokenizer, chatTemplate: "{{ messages }}", specialTokens: { eos_token: "<end>" } };
    const { get, stop } = await startTestServer({ load: async () => engineOver(new FakeModel(), { tokenizer }) });
    expect(await (await get("/tokenizer_info")).json()).toEqual({
      ...{ tokenizer_class: "idlm", model_max_length: 200, add_bos_token: false },
      ...{ eos_token: "<end>", chat_template: "{{ messages }}" },
    });
    expect(await (await get("/props")).json()).toMatchObject({
      default_generation_settings: { n_ctx: 200, params: { temperature: 1, seed: 0, n_predict: -1 } },
      ...{ total_slots: 16, chat_template: "{{ messages }}", bos_token: "", eos_token: "<end>" },
    });
    await stop();
  });

  it("describes bodies with keys that their codecs know, and the responses that they get", async () => {
    const { post, stop } = await startTestServer();
    const smallest = { chat: { messages: [{ role: "user", content: "a" }] }, completions: { prompt: "a" } };
    for (const [path, endpoint] of Object.entries(endpoints)) {
      const keys = Object.keys(bodySchemas[endpoint].shape);
      const nulls = Object.fromEntries(keys.map((key) => [key, null]));
      expect(readOpenAiRequest(endpoint, { ...nulls, ...smallest[endpoint] }).ignored).toEqual([]);
      const body = { model: "m", max_tokens: 3, ...smallest[endpoint] };
      expect(bodySchemas[endpoint].parse(body)).toEqual(body);
      const response = await post(path, body);
      responseSchemas[endpoint].parse(JSON.parse(await response.text()));
    }
    await stop();
  });

  it("counts what models do, under the names of vLLM, too, if wanted", async () => {
    const { get, post, stop } = await startTestServer({
      engine: { hitRate: 0.7, nDepths: 2 },
      settings: { hasVllmMetrics: true },
    });
    const body = { model: "m", prompt: "ab".repeat(20), max_tokens: 40, propose: "mask", stride: 3 };
    await (await post("/v1/completions", body)).text();
    await (await post("/v1/completions", { ...body, n: 2, stream: true })).text();
    const text = await (await get("/metrics")).text();
    const value = (name: string) =>
      Number(text.match(new RegExp(`^${name.replace(/[{}]/g, "\\$&")} (\\S+)$`, "m"))?.[1]);
    for (const prefix of ["idlm", "vllm"]) {
      const of = (name: string, labels = "") => value(`${prefix}:${name}{model_name="m"${labels}}`);
      expect(of("generation_tokens_total")).toBe(120);
      expect(of("prompt_tokens_total")).toBe(120);
      expect(of("prefix_cache_queries_total")).toBe(120);
      expect(of("prefix_cache_hits_total")).toBeGreaterThan(0);
      expect(of("request_success_total", ',finished_reason="length"')).toBe(3);
      expect([of("num_requests_running"), of("num_requests_waiting"), of("kv_cache_usage_perc")]).toEqual([0, 0, 0]);
      expect(of("num_preemptions_total")).toBe(0);
      expect(of("time_to_first_token_seconds_count")).toBe(3);
      expect(of("e2e_request_latency_seconds_count")).toBe(3);
      expect(of("request_queue_time_seconds_count")).toBe(3);
      expect(of("inter_token_latency_seconds_count")).toBeGreaterThan(3);
      expect(of("spec_decode_num_drafts_total")).toBeGreaterThan(0);
      const accepted = of("spec_decode_num_accepted_tokens_total");
      expect(accepted).toBeGreaterThan(0);
      expect(of("spec_decode_num_draft_tokens_total")).toBeGreaterThan(accepted);
      const byPosition = [0, 1].map((position) => {
        return of("spec_decode_num_accepted_tokens_per_pos_total", `,position="${position}"`);
      });
      expect(byPosition.reduce((a, b) => a + b)).toBe(accepted);
      expect(text).toMatch(
        new RegExp(`^${prefix}:cache_config_info\\{model_name="m",block_size="16",num_gpu_blocks="\\d+"\\} 1$`, "m"),
      );
    }
    expect(value('idlm:forwards_total{model_name="m"}')).toBeGreaterThan(0);
    expect(value('idlm:rows_per_forward_count{model_name="m"}')).toBe(value('idlm:forwards_total{model_name="m"}'));
    expect(value('idlm:tokens_per_forward_sum{model_name="m"}')).toBe(120);
    expect(text).not.toMatch(/vllm:(forwards_total|rows_per_forward|tokens_per_forward)/);
    // Each name once with its help, as Prometheus wants it.
    const helps = text.match(/^# HELP \S+/gm) ?? [];
    expect(new Set(helps).size).toBe(helps.length);
    await stop();
  });
});
