import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import type { Logger } from "pino";
import { EngineModel } from "../engine/engine-model.ts";
import { IdlmError, key, phrase } from "../errors.ts";
import { GrammarThread } from "../grammar/thread/grammar-thread.ts";
import { createApp } from "./app.ts";
import type { Doctor } from "./context.ts";
import { Metrics } from "./metrics.ts";
import { type LoadModel, type ModelSpec, Models } from "./models/models.ts";
import type { ServeSettings } from "./settings.ts";

/** Most bytes of all headers of a request. */
const MAX_HEADER_BYTES = 16 * 1024;
/** Milliseconds that a connection may be idle between two requests. */
const KEEP_ALIVE_MS = 75_000;
const IDLE_CHECK_MS = 20;
/** Connections beyond the requests that may run: idle ones, and those about to be refused. */
const SPARE_CONNECTIONS = 256;

export interface ServerParts {
  /** The models to offer, the first one first. */
  readonly specs: readonly ModelSpec[];
  readonly load: LoadModel;
  readonly settings: ServeSettings;
  readonly log: Logger;
  readonly doctor?: Doctor;
}

/** A server that listens. */
export interface RunningServer {
  /** http://HOST:PORT */
  readonly url: string;
  readonly models: Models;
  /** Refuses new requests, lets running ones end for as long as the settings say, and frees everything. */
  stop(): Promise<void>;
}

/** Starts to listen. @throws IdlmError "busy" if the address is taken. */
export async function startServer({ specs, load, settings, log, doctor }: ServerParts): Promise<RunningServer> {
  const metrics: Metrics = new Metrics(() => models.measured(), { vllm: settings.hasVllmMetrics });
  const grammars = settings.grammarThread === undefined ? undefined : new GrammarThread(settings.grammarThread);
  const loadHere: LoadModel = async (spec, options) => {
    const model = await load(spec, options);
    if (grammars !== undefined && model instanceof EngineModel) model.compileGrammarsWith(grammars);
    return model;
  };
  const models: Models = new Models(specs, loadHere, (name) => metrics.observer(name));
  const stopping = new AbortController();
  const app = createApp({ models, metrics, settings, log, doctor }, stopping.signal);
  const handle = getRequestListener((request, env) => app.fetch(request, env), { overrideGlobalObjects: false });
  const listener: RequestListener = (incoming, outgoing) => {
    // Probes of balancers, which no page of a browser can send.
    if (incoming.httpVersion === "1.0") incoming.headers.host ??= "localhost";
    void handle(incoming, outgoing);
  };
  const server = createServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: settings.arrivalMs,
    requestTimeout: settings.arrivalMs,
    connectionsCheckingInterval: Math.ceil(settings.arrivalMs / 4),
    keepAliveTimeout: KEEP_ALIVE_MS,
  });
  server.maxConnections = settings.maxRequests + SPARE_CONNECTIONS;
  server.on("request", listener);
  // The body is asked for by the route that reads it, after all checks.
  server.on("checkContinue", listener);
  const { port } = await listen(server, settings);
  const host = settings.host.includes(":") ? `[${settings.host}]` : settings.host;
  return {
    url: `http://${host}:${port}`,
    models,
    stop: async () => {
      stopping.abort();
      await closed(server, settings.drainMs);
      await models.dispose();
      await grammars?.close();
    },
  };
}

function listen(server: Server, { host, port }: ServeSettings): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const reason = error.code === "EADDRINUSE" ? "the address is in use" : error.message;
      reject(
        new IdlmError("busy", {
          name: `${host}:${port}`,
          reason,
          hint: phrase`Choose another ${key("port")} or ${key("host")}.`,
        }),
      );
    });
    server.listen(port, host, () => resolve(server.address() as AddressInfo));
  });
}

/** Waits for running requests at most this long, then ends them. */
async function closed(server: Server, drainMs: number): Promise<void> {
  const end = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  // Connections become idle when their requests end.
  server.closeIdleConnections();
  const interval = setInterval(() => server.closeIdleConnections(), IDLE_CHECK_MS);
  const timer = setTimeout(() => server.closeAllConnections(), drainMs);
  await end;
  clearInterval(interval);
  clearTimeout(timer);
}
