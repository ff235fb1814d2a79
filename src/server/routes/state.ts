import { createRoute, z } from "@hono/zod-openapi";
import packageJson from "../../../package.json" with { type: "json" };
import type { ModelStats } from "../../engine/types.ts";
import { IdlmError } from "../../errors.ts";
import type { AddRoutes } from "../context.ts";
import type { ModelDescription, Models } from "../models/models.ts";
import { addRoute } from "../route.ts";
import { json } from "./schemas.ts";

const { version } = packageJson;

/** State of the server and its models, for people, monitoring and balancers. */
export const addStateRoutes: AddRoutes = (app, { models, metrics }) => {
  // The second is llama-server's.
  for (const path of ["/health", "/v1/health"]) {
    addRoute(app, { ...healthRoute, path }, (exchange) => {
      if (models.isReady) exchange.send(200, { status: "ok" });
      else exchange.send(503, { status: "loading model" });
    });
  }
  addRoute(app, versionRoute, (exchange) => exchange.send(200, { version }));
  addRoute(app, metricsRoute, async (exchange) =>
    exchange.send(200, await metrics.text(), { "content-type": metrics.contentType }),
  );
  for (const path of ["/v1/models", "/models"]) {
    addRoute(app, { ...modelsRoute, path }, (exchange) => {
      const data = models.list().map((model) => modelBody(model, model.name));
      const page = { has_more: false, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null };
      exchange.send(200, { object: "list", data, ...page });
    });
  }
  addRoute(app, modelRoute, (exchange, { id = "" }) => {
    const model = models.find(id);
    if (model === undefined) throw new IdlmError("model-not-found", { model: id });
    exchange.send(200, modelBody(model, id));
  });
  addRoute(app, serverInfoRoute, (exchange) => exchange.send(200, serverInfo(models)));
  addRoute(app, modelInfoRoute, (exchange) => exchange.send(200, modelInfo(models)));
  addRoute(app, loadsRoute, (exchange) => exchange.send(200, loadsOf(models)));
};

function modelBody({ createdSeconds, model, spec }: ModelDescription, id: string) {
  return {
    id,
    object: "model",
    created: createdSeconds,
    owned_by: "idlm",
    // As vLLM names them.
    root: spec.name,
    // Of Anthropic's form, whose clients ask the same path.
    ...{ type: "model", display_name: id, created_at: new Date(1000 * createdSeconds).toISOString() },
    ...(model !== undefined && { max_model_len: model.info.contextLength }),
  };
}

/** The first model, which balancers and llama-server's clients take for the only one. */
export function firstOf(models: Models): ModelDescription {
  const [first] = models.list();
  if (first === undefined) throw new IdlmError("model-not-found", { model: "of no name" });
  return first;
}

/** Capacity and use of a model, in tokens. */
function loadOf({ sequences, maxSequences, cachePages: { total, used, size } }: ModelStats) {
  const running = sequences.filter(({ isRunning }) => isRunning).length;
  return {
    ...{ num_running_reqs: running, num_waiting_reqs: sequences.length - running, num_total_reqs: sequences.length },
    ...{ num_used_tokens: used * size, max_total_num_tokens: total * size, max_running_requests: maxSequences },
    token_usage: total === 0 ? 0 : used / total,
    utilization: running / maxSequences,
  };
}

/** As SGLang has it: what its gateway chooses workers by. One entry per loaded model. */
function loadsOf(models: Models) {
  const loads = models.measured().map(({ stats }, rank) => ({ dp_rank: rank, ...loadOf(stats()) }));
  const sum = (of: (load: (typeof loads)[number]) => number) => loads.reduce((total, load) => total + of(load), 0);
  const mean = (of: (load: (typeof loads)[number]) => number) => (loads.length === 0 ? 0 : sum(of) / loads.length);
  return {
    ...{ timestamp: new Date().toISOString(), version, dp_rank_count: loads.length, loads },
    aggregate: {
      total_running_reqs: sum((load) => load.num_running_reqs),
      total_waiting_reqs: sum((load) => load.num_waiting_reqs),
      total_reqs: sum((load) => load.num_total_reqs),
      avg_token_usage: mean((load) => load.token_usage),
      avg_utilization: mean((load) => load.utilization),
    },
  };
}

function serverInfo(models: Models) {
  const { name, model } = firstOf(models);
  const stats = model?.stats();
  return {
    ...{ version, served_model_name: name, model_path: name, tp_size: 1, dp_size: 1 },
    ...{ disable_radix_cache: false, status: models.isReady ? "ready" : "loading" },
    ...(stats !== undefined && {
      ...{ context_length: model?.info.contextLength, max_running_requests: stats.maxSequences },
      max_total_num_tokens: stats.cachePages.total * stats.cachePages.size,
    }),
  };
}

function modelInfo(models: Models) {
  const { name, model } = firstOf(models);
  return {
    ...{ model_path: name, tokenizer_path: name, served_model_name: name, is_generation: true },
    ...{ has_image_understanding: false, has_audio_understanding: false },
    ...(model !== undefined && {
      ...{ model_type: model.info.architecture, vocab_size: model.info.vocabSize },
      max_context_length: model.info.contextLength,
    }),
  };
}

const modelSchema = z.object({
  id: z.string(),
  object: z.literal("model"),
  created: z.number(),
  owned_by: z.string(),
  root: z.string(),
  type: z.literal("model"),
  display_name: z.string(),
  created_at: z.string(),
  max_model_len: z.number().optional(),
});

const modelsSchema = z.object({
  object: z.literal("list"),
  data: z.array(modelSchema),
  has_more: z.boolean(),
  first_id: z.string().nullable(),
  last_id: z.string().nullable(),
});

const healthRoute = createRoute({
  method: "get",
  path: "/health",
  responses: {
    200: json(z.object({ status: z.literal("ok") }), "The server is ready."),
    503: json(z.object({ status: z.string() }), "The first model is being loaded."),
  },
});

const versionRoute = createRoute({
  method: "get",
  path: "/version",
  responses: { 200: json(z.object({ version: z.string() }), "The version of idlm.") },
});

const metricsRoute = createRoute({
  method: "get",
  path: "/metrics",
  responses: { 200: { content: { "text/plain": { schema: z.string() } }, description: "Metrics for Prometheus." } },
});

const modelsRoute = createRoute({
  method: "get",
  path: "/v1/models",
  responses: { 200: json(modelsSchema, "The models.") },
});

const modelRoute = createRoute({
  method: "get",
  path: "/v1/models/{id}",
  request: { params: z.object({ id: z.string() }) },
  responses: { 200: json(modelSchema, "A model.") },
});

const serverInfoRoute = createRoute({
  method: "get",
  path: "/server_info",
  responses: {
    200: json(
      z.object({
        ...{ version: z.string(), served_model_name: z.string(), model_path: z.string(), status: z.string() },
        ...{ tp_size: z.number(), dp_size: z.number(), disable_radix_cache: z.boolean() },
        ...{ context_length: z.number().optional(), max_running_requests: z.number().optional() },
        max_total_num_tokens: z.number().optional(),
      }),
      "The server, as SGLang names its properties.",
    ),
  },
});

const modelInfoRoute = createRoute({
  method: "get",
  path: "/model_info",
  responses: {
    200: json(
      z.object({
        ...{ model_path: z.string(), tokenizer_path: z.string(), served_model_name: z.string() },
        ...{ is_generation: z.boolean(), has_image_understanding: z.boolean(), has_audio_understanding: z.boolean() },
        ...{ model_type: z.string().optional(), vocab_size: z.number().optional() },
        max_context_length: z.number().optional(),
      }),
      "The first model, as SGLang names its properties.",
    ),
  },
});

const loadsRoute = createRoute({
  method: "get",
  path: "/v1/loads",
  responses: {
    200: json(
      z.object({
        ...{ timestamp: z.string(), version: z.string(), dp_rank_count: z.number() },
        loads: z.array(z.object({ dp_rank: z.number() }).catchall(z.number())),
        aggregate: z.record(z.string(), z.number()),
      }),
      "What runs and waits, as SGLang's gateway reads it.",
    ),
  },
});
