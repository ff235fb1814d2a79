import { createRoute, z } from "@hono/zod-openapi";
import packageJson from "../../../package.json" with { type: "json" };
import type { ServerApp } from "../context.ts";
import { addRoute } from "../route.ts";
import { json } from "./schemas.ts";

/** GET /openapi.json: the routes that were added before. */
export function addDescription(app: ServerApp): void {
  addRoute(app, descriptionRoute, (exchange) => {
    exchange.send(200, document);
  });
  app.openAPIRegistry.registerComponent("securitySchemes", "key", { type: "http", scheme: "bearer" });
  const { version, description } = packageJson;
  const document = app.getOpenAPI31Document({
    openapi: "3.1.0",
    info: { title: "idlm", version, description },
    // Not needed where the server has no keys.
    security: [{ key: [] }, {}],
  });
}

const descriptionRoute = createRoute({
  method: "get",
  path: "/openapi.json",
  responses: { 200: json(z.looseObject({ openapi: z.string() }), "This description, in the form of OpenAPI 3.1.") },
});
