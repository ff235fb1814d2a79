import { createRoute, z } from "@hono/zod-openapi";
import packageJson from "../../../package.json" with { type: "json" };
import { IdlmError } from "../../errors.ts";
import type { AddRoutes } from "../context.ts";
import type { ModelDescription } from "../models/models.ts";
import { addRoute } from "../route.ts";

/** State of the server, and its models. */
export const addStateRoutes: AddRoutes = (app, { models }) => {
  addRoute(app, healthRoute, (exchange) => {
    if (models.isReady) exchange.send(200, { status: "ok" });
    else exchange.send(503, { status: "loading" });
  });
  addRoute(app, versionRoute, (exchange) => exchange.send(200, { version: packageJson.version }));
  addRoute(app, modelsRoute, (exchange) =>
    exchange.send(200, { object: "list", data: models.list().map((model) => modelBody(model, model.name)) }),
  );
  addRoute(app, modelRoute, (exchange, { id = "" }) => {
    const model = models.find(id);
    if (model === undefined) throw new IdlmError("model-not-found", { model: id });
    exchange.send(200, modelBody(model, id));
  });
};

function modelBody({ createdSeconds, model }: ModelDescription, id: string) {
  return {
    id,
    object: "model",
    created: createdSeconds,
    owned_by: "idlm",
    ...(model !== undefined && { max_model_len: model.info.contextLength }),
  };
}

const modelSchema = z.object({
  id: z.string(),
  object: z.literal("model"),
  created: z.number(),
  owned_by: z.string(),
  max_model_len: z.number().optional(),
});

const json = <T extends z.ZodType>(schema: T, description: string) => ({
  content: { "application/json": { schema } },
  description,
});

const healthRoute = createRoute({
  method: "get",
  path: "/health",
  responses: {
    200: json(z.object({ status: z.literal("ok") }), "ready"),
    503: json(z.object({ status: z.string() }), "the model is being loaded"),
  },
});
const versionRoute = createRoute({
  method: "get",
  path: "/version",
  responses: { 200: json(z.object({ version: z.string() }), "version of idlm") },
});
const modelsRoute = createRoute({
  method: "get",
  path: "/v1/models",
  responses: {
    200: json(z.object({ object: z.literal("list"), data: z.array(modelSchema) }), "models that are served"),
  },
});
const modelRoute = createRoute({
  method: "get",
  path: "/v1/models/{id}",
  request: { params: z.object({ id: z.string() }) },
  responses: { 200: json(modelSchema, "one of them") },
});
