import type { IncomingMessage, ServerResponse } from "node:http";
import { IdlmError } from "../../errors.ts";
import { isLoopback, type ServeSettings } from "../settings.ts";

/** Seconds for which a browser may cache the answer to a preflight. */
const PREFLIGHT_SECONDS = "600";

/**
 * Refuses requests of web pages that have no business here. The Host header has to be a name of this machine's loopback
 * addresses where the server listens on one: a page that resolves its own name to 127.0.0.1 (DNS rebinding) sends that name.
 * A page's Origin has to be the server's own, or one that the operator allows.
 */
export class Origins {
  readonly #settings: ServeSettings;
  readonly #checksHost: boolean;

  constructor(settings: ServeSettings) {
    this.#settings = settings;
    this.#checksHost = isLoopback(settings.host) || settings.allowHosts.length > 0;
  }

  /** Sets the CORS headers of an allowed page. @throws IdlmError "forbidden". */
  check({ headers }: IncomingMessage, outgoing: ServerResponse): void {
    const { host = "", origin } = headers;
    if (this.#checksHost && !this.#isAllowedHost(host)) {
      throw new IdlmError("forbidden", {
        problem: `the Host header ${JSON.stringify(host.slice(0, 100))} is not accepted`,
        hint: "Use the address that the server prints, or let its operator allow this name.",
      });
    }
    if (origin === undefined || sameOrigin(origin, host)) return;
    const { cors } = this.#settings;
    if (!cors.includes("*") && !cors.includes(origin)) {
      throw new IdlmError("forbidden", {
        problem: `pages of ${JSON.stringify(origin.slice(0, 100))} may not use this server`,
        hint: "Its operator can allow them.",
      });
    }
    outgoing.setHeader("access-control-allow-origin", cors.includes("*") ? "*" : origin);
    outgoing.setHeader("access-control-expose-headers", "x-request-id, retry-after");
    outgoing.setHeader("vary", "origin");
  }

  /** Answers the CORS preflight of an allowed page; false: the request is not a preflight. */
  answerPreflight({ method, headers }: IncomingMessage, outgoing: ServerResponse): boolean {
    if (method !== "OPTIONS" || headers["access-control-request-method"] === undefined) return false;
    outgoing.writeHead(204, {
      "access-control-allow-methods": "GET, POST, DELETE",
      "access-control-allow-headers": headers["access-control-request-headers"] ?? "content-type",
      "access-control-max-age": PREFLIGHT_SECONDS,
    });
    outgoing.end();
    return true;
  }

  #isAllowedHost(host: string): boolean {
    const name = host.replace(/:\d+$/, "").toLowerCase();
    if (this.#settings.allowHosts.some((allowed) => allowed.toLowerCase() === name)) return true;
    return isLoopback(name) && isLoopback(this.#settings.host);
  }
}

/** Whether a page was loaded from this server. */
function sameOrigin(origin: string, host: string): boolean {
  return /^https?:\/\//.test(origin) && origin.replace(/^https?:\/\//, "").toLowerCase() === host.toLowerCase();
}
