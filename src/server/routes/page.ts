import { readFileSync } from "node:fs";
import { createRoute, z } from "@hono/zod-openapi";
import type { AddRoutes } from "../context.ts";
import type { Exchange } from "../exchange.ts";
import { addRoute } from "../route.ts";

/** The playground: one file with everything in it. */
export const addPageRoute: AddRoutes = (app, { settings }) => {
  let page: Page | undefined;
  addRoute(app, pageRoute, (exchange) => {
    page ??= readPage(settings.page);
    if (page === undefined) sendText(exchange, 404, "text/plain", "This server has no playground: it was not built.\n");
    else sendText(exchange, 200, "text/html", page.html, { "content-security-policy": page.policy });
  });
};

interface Page {
  readonly html: string;
  readonly policy: string;
}

/** Undefined if there is none. */
function readPage(path: string | undefined): Page | undefined {
  if (path === undefined) return undefined;
  try {
    const html = readFileSync(path, "utf8");
    // The build has put the hashes of script and styles there. Only a header can forbid frames.
    const [, policy = "default-src 'none'"] = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(html) ?? [];
    return { html, policy: `${policy}; frame-ancestors 'none'` };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function sendText(exchange: Exchange, status: number, type: string, text: string, headers = {}): void {
  const { incoming, outgoing } = exchange;
  const bytes = Buffer.from(text, "utf8");
  outgoing.writeHead(status, {
    "content-type": `${type}; charset=utf-8`,
    "content-length": String(bytes.byteLength),
    "cache-control": "no-cache",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    ...headers,
  });
  outgoing.end(incoming.method === "HEAD" ? undefined : bytes);
}

const html = (description: string) => ({ content: { "text/html": { schema: z.string() } }, description });
const pageRoute = createRoute({
  method: "get",
  path: "/",
  responses: { 200: html("the playground"), 404: html("it was not built") },
});
