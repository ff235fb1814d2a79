import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import type { createRoute } from "@hono/zod-openapi";
import type { ServerApp } from "./context.ts";
import type { Exchange } from "./exchange.ts";

type Route = ReturnType<typeof createRoute>;

/** Answers a request; `parameters`: those of its path. What it throws is answered in the form of the path's API. */
export type Handler = (exchange: Exchange, parameters: Readonly<Record<string, string>>) => Promise<void> | void;

/**
 * Adds a route, with what GET /openapi.json says of it. Its body is read and validated by the codec of its API, which
 * ignores unknown keys and names wrong ones as that API does.
 */
export function addRoute(app: ServerApp, route: Route, handler: Handler): void {
  app.openAPIRegistry.registerPath(route);
  // The last parameter may have slashes: names of models do (ORG/REPO).
  const path = route.path.replace(/\{(\w+)\}$/, ":$1{.+}").replaceAll(/\{(\w+)\}/g, ":$1");
  app.on(route.method.toUpperCase(), path, async (c) => {
    await handler(c.get("exchange"), c.req.param());
    return RESPONSE_ALREADY_SENT;
  });
}
