import type { HttpBindings } from "@hono/node-server";
import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Logger } from "pino";
import type { Exchange } from "./exchange.ts";
import type { Metrics } from "./metrics.ts";
import type { Models } from "./models/models.ts";
import type { ServeSettings } from "./settings.ts";

/** What routes share. */
export interface ServerContext {
  readonly models: Models;
  readonly metrics: Metrics;
  readonly settings: ServeSettings;
  readonly log: Logger;
  /** Measures the machine; undefined: not offered. */
  readonly doctor: Doctor | undefined;
}

/** Measures the machine: what `idlm doctor` prints, and the same as its JSON. */
export type Doctor = () => Promise<{ readonly report: string; readonly figures: object }>;

export interface ServerEnv {
  readonly Bindings: HttpBindings;
  readonly Variables: { readonly exchange: Exchange };
}

export type ServerApp = OpenAPIHono<ServerEnv>;

/** What a file of routes exports. */
export type AddRoutes = (app: ServerApp, context: ServerContext) => void;
