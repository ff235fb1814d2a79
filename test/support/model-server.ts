import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { load } from "../../src/engine/load/load.ts";
import { startServer } from "../../src/server/server.ts";
import { defaultSettings, type ServeSettings } from "../../src/server/settings.ts";

export interface ModelServer {
  readonly url: string;
  stop(): Promise<void>;
}

/** A server in this process with one model and the page `html`, at a free port by default. */
export async function startModelServer(
  html: string,
  source: string,
  changes: Partial<ServeSettings> & { readonly adapter?: string } = {},
): Promise<ModelServer> {
  const folder = mkdtempSync(join(tmpdir(), "idlm-playground-"));
  const page = join(folder, "playground.html");
  writeFileSync(page, html);
  const { adapter, ...settings } = changes;
  const specs = [{ name: "served", aliases: [], source, adapter }];
  const server = await startServer({
    specs,
    load: (spec, options) => load(spec.source, { adapter: spec.adapter, ...options }),
    settings: { ...defaultSettings, port: 0, drainMs: 0, page, ...settings },
    log: pino({ level: "silent" }),
  });
  return {
    url: server.url,
    stop: async () => {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
