import { randomUUID } from "node:crypto";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { OpenAPIHono } from "@hono/zod-openapi";
import { IdlmError } from "../errors.ts";
import { familyOf } from "./api-family.ts";
import type { ServerApp, ServerContext, ServerEnv } from "./context.ts";
import { ClientGone, Exchange } from "./exchange.ts";
import { addAnthropicRoutes } from "./routes/anthropic.ts";
import { addDescription } from "./routes/description.ts";
import { addDoctorRoute } from "./routes/doctor.ts";
import { addLlamaRoutes } from "./routes/llama.ts";
import { addLlamaStateRoutes } from "./routes/llama-state.ts";
import { addOllamaRoutes } from "./routes/ollama.ts";
import { addOpenAiRoutes } from "./routes/openai.ts";
import { addPageRoute } from "./routes/page.ts";
import { addResponsesRoutes } from "./routes/responses.ts";
import { addStateRoutes } from "./routes/state.ts";
import { addUnsupportedRoutes } from "./routes/unsupported.ts";
import { Keys } from "./security/keys.ts";
import { Origins } from "./security/origins.ts";
import { RateLimits } from "./security/rate-limits.ts";
import { traceRequest } from "./tracing.ts";

/** Paths that need no key: probes of balancers, and the page, which asks for one. */
const openPaths: ReadonlySet<string> = new Set(["/health", "/v1/health", "/"]);

const MANY_REQUESTS = 4;

/** The routes of all APIs behind the checks that every request passes. */
export function createApp(context: ServerContext, stopping: AbortSignal): ServerApp {
  const { settings, log } = context;
  const app: ServerApp = new OpenAPIHono<ServerEnv>();
  const keys = new Keys(settings.apiKeys);
  const origins = new Origins(settings);
  const limits = new RateLimits(settings);
  const running = new Set<Exchange>();

  app.use(async (c, next) => {
    const { incoming, outgoing } = c.env as { incoming: Exchange["incoming"]; outgoing: Exchange["outgoing"] };
    const { path } = c.req;
    const exchange = new Exchange(incoming, outgoing, randomUUID().replaceAll("-", ""), path, familyOf(path), settings);
    exchange.streamInterval = () => settings.streamInterval ?? defaultInterval(running.size);
    exchange.redact = (text) => context.models.redact(text);
    c.set("exchange", exchange);
    outgoing.setHeader("x-request-id", exchange.id);
    if (exchange.api.idHeader !== undefined) outgoing.setHeader(exchange.api.idHeader, exchange.id);
    logWhenDone(exchange, context);
    traceRequest(exchange);
    origins.check(incoming, outgoing);
    if (origins.answerPreflight(incoming, outgoing)) return RESPONSE_ALREADY_SENT;
    if (!openPaths.has(path)) exchange.share = keys.check(incoming.headers);
    if (stopping.aborted) throw new IdlmError("stopping");
    if (running.size >= settings.maxRequests) throw new IdlmError("queue-full", { max: settings.maxRequests });
    if (incoming.method === "POST") await limits.admit(exchange);
    running.add(exchange);
    const timer = limitTime(exchange, settings.timeoutMs);
    try {
      await next();
    } finally {
      clearTimeout(timer);
      running.delete(exchange);
    }
    return undefined;
  });

  addUnsupportedRoutes(app, context);
  addOpenAiRoutes(app, context);
  addResponsesRoutes(app, context);
  addAnthropicRoutes(app, context);
  addOllamaRoutes(app, context);
  addLlamaRoutes(app, context);
  addStateRoutes(app, context);
  addLlamaStateRoutes(app, context);
  addPageRoute(app, context);
  addDoctorRoute(app, context);
  addDescription(app);

  app.notFound((c) => {
    const { path, method } = c.req;
    // All paths pass the checks above; those of a route have a handler more.
    const expected = ["GET", "POST", "DELETE"].filter((other) => app.router.match(other, path)[0].length > 1);
    if (expected.length === 0) throw new IdlmError("path-not-found", { path });
    c.env.outgoing.setHeader("allow", expected.join(", "));
    throw new IdlmError("method-not-allowed", { path, method, expected: expected.join(" or ") });
  });
  app.onError((error, c) => {
    const exchange = c.get("exchange");
    answerError(exchange, error, log);
    return RESPONSE_ALREADY_SENT;
  });
  return app;
}

/**
 * Parts of a stream that share a write. The time between two writes stays below the time between two tokens of llama-server:
 * at most two forwards of few requests, which are quick, or three of many, where a write takes a larger share of the time.
 */
function defaultInterval(nRequests: number): number {
  return nRequests < MANY_REQUESTS ? 2 : 3;
}

/** Answers in the form of the path's API. */
function answerError(exchange: Exchange, error: unknown, log: ServerContext["log"]): void {
  if (error instanceof ClientGone) return;
  const { status, body } = exchange.errorOf(error);
  if (status === 500 || status === 502) log.error({ id: exchange.id, err: error }, "request failed");
  const retry = status === 429 || status === 503 ? { "retry-after": String(exchange.retryAfterSeconds) } : {};
  // The clients of OpenAI and Anthropic would repeat such a request.
  exchange.send(status, body, status === 501 ? { "x-should-retry": "false" } : retry);
}

function limitTime(exchange: Exchange, timeoutMs: number | undefined): NodeJS.Timeout | undefined {
  if (timeoutMs === undefined) return undefined;
  const error = new IdlmError("timeout", { seconds: timeoutMs / 1000 });
  return setTimeout(() => exchange.abort(error), timeoutMs);
}

/** A line of the log; it holds no prompts unless the settings ask for them. */
function logWhenDone(exchange: Exchange, { log, settings }: ServerContext): void {
  const { outgoing, incoming, id, path } = exchange;
  outgoing.once("close", () => {
    const { model, share, startMs, body } = exchange;
    log.info(
      {
        ...{ id, method: incoming.method, path },
        status: outgoing.headersSent ? outgoing.statusCode : undefined,
        ms: Math.round(performance.now() - startMs),
        model,
        ...(share !== "" && { key: share }),
        ...(!outgoing.writableFinished && { aborted: true }),
        ...(settings.logsPrompts && { body }),
      },
      "request",
    );
  });
}
