import { connect } from "node:net";
import { pino } from "pino";
import { afterEach } from "vitest";
import type { EngineModel } from "../../src/engine/engine-model.ts";
import type { Doctor } from "../../src/server/context.ts";
import type { ModelSpec } from "../../src/server/models/models.ts";
import { startServer } from "../../src/server/server.ts";
import { defaultSettings, type ServeSettings } from "../../src/server/settings.ts";
import { type FakeEngineOptions, fakeEngine } from "./fake-engine.ts";

export interface TestServerOptions {
  readonly settings?: Partial<ServeSettings>;
  readonly engine?: FakeEngineOptions;
  readonly specs?: readonly ModelSpec[];
  readonly load?: Parameters<typeof startServer>[0]["load"];
  readonly doctor?: Doctor;
}

export const spec = (name: string, more: Partial<ModelSpec> = {}): ModelSpec => ({
  ...{ name, aliases: [], source: name, adapter: undefined },
  ...more,
});

/** A server with a fake model, "m", on a free port. */
export async function startTestServer({
  settings,
  engine: options,
  specs = [spec("m")],
  load,
  doctor,
}: TestServerOptions = {}) {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ base: null }, { write: (line) => void lines.push(JSON.parse(line)) });
  const engines: EngineModel[] = [];
  const server = await startServer({
    specs,
    load:
      load ??
      (async (_, { observer }) => {
        const { engine } = fakeEngine({ ...options, observer });
        engines.push(engine);
        return engine;
      }),
    settings: { ...defaultSettings, port: 0, ...settings },
    log,
    ...(doctor && { doctor }),
  });
  const { url } = server;
  const get = (path: string, headers: Readonly<Record<string, string>> = {}) => fetch(`${url}${path}`, { headers });
  const post = (path: string, body: unknown, init: RequestInit = {}) =>
    fetch(`${url}${path}`, { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body), ...init });
  return { ...server, get, post, lines, engines };
}

/** Starts test servers that are stopped after each test of the file. */
export function testServers(): typeof startTestServer {
  const running: { stop(): Promise<void> }[] = [];
  afterEach(async () => {
    for (const server of running.splice(0)) await server.stop();
  });
  return async (options) => {
    const server = await startTestServer(options);
    running.push(server);
    return server;
  };
}

/** Sends bytes over a connection of its own, and returns all that comes back until the server closes it. */
export function exchangeBytes(url: string, bytes: string | readonly string[]): Promise<string> {
  const { port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), "127.0.0.1");
    let received = "";
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => {
      received += text;
    });
    socket.once("error", reject);
    socket.once("close", () => resolve(received));
    for (const part of typeof bytes === "string" ? [bytes] : bytes) socket.write(part);
  });
}
