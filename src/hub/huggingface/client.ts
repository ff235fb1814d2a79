import { Agent, type Dispatcher, fetch, ProxyAgent, type Response } from "undici";
import { IdlmError } from "../../errors.ts";
import type { HubAccess } from "./access.ts";
import { proxyFor } from "./proxy.ts";
import { retryAfterMs, TransientFailure, withRetries } from "./retry.ts";

export interface HubTiming {
  readonly connectMs: number;
  /** From the request to the response headers; also the longest pause within a small response. */
  readonly answerMs: number;
  /** A download must receive at least `MIN_WINDOW_BYTES` in each window of this length. */
  readonly windowMs: number;
  readonly backoffMs: number;
}

const defaultTiming: HubTiming = { connectMs: 15_000, answerMs: 30_000, windowMs: 30_000, backoffMs: 500 };

/** The hub uses one or two: to the storage server, and for a renamed repository. */
const MAX_REDIRECTS = 5;
/** A connection below 550 bytes per second counts as stalled. */
export const MIN_WINDOW_BYTES = 16 * 1024;

export interface HubClientOptions {
  /** For the proxy variables. */
  readonly environment: NodeJS.ProcessEnv;
  readonly timing?: Partial<HubTiming> | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onNotice?: ((sentence: string) => void) | undefined;
}

/** Reasons of connection errors, by code. The messages of lower layers are not used: they may repeat headers. */
const connectionReasons: Readonly<Record<string, string>> = {
  ENOTFOUND: "host name not found; this machine may be offline",
  EAI_AGAIN: "host name cannot be resolved; this machine may be offline",
  ENETUNREACH: "network unreachable; this machine may be offline",
  EHOSTUNREACH: "host unreachable",
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection dropped",
  EPIPE: "connection dropped",
  UND_ERR_SOCKET: "connection dropped",
  UND_ERR_CONNECT_TIMEOUT: "connection timed out",
  ETIMEDOUT: "connection timed out",
  UND_ERR_HEADERS_TIMEOUT: "no response in time",
  UND_ERR_BODY_TIMEOUT: "it stopped sending",
  UND_ERR_HEADERS_OVERFLOW: "its headers are too long",
};
/** An error without a code: fetch rejects the address (for example for a port that it does not allow). */
const UNKNOWN = "unknown reason";
/** Not retried before the hub has been reached once. */
const unreachable = new Set(["ENOTFOUND", "ENETUNREACH", "EHOSTUNREACH", "ECONNREFUSED"]);
const untrusted = /CERT|^ERR_(?:TLS|SSL)|SELF_SIGNED|UNABLE_TO_VERIFY/;

/**
 * HTTP client for a hub. It follows redirects itself, so that the token goes only to the endpoint's origin and never again
 * after a redirect elsewhere; it separates transient failures from errors of the catalogue; every wait is bounded. No
 * text from a server becomes part of a message.
 */
export class HubClient {
  readonly access: HubAccess;
  readonly #options: HubClientOptions;
  readonly timing: HubTiming;
  readonly #dispatchers = new Map<string, Dispatcher>();
  #reached = false;

  constructor(access: HubAccess, options: HubClientOptions) {
    this.access = access;
    this.#options = options;
    this.timing = { ...defaultTiming, ...options.timing };
  }

  /** The endpoint's host, for messages. */
  get host(): string {
    return new URL(this.access.endpoint).host;
  }

  /** `withRetries` with this client's timing, signal and notices. */
  retrying<T>(subject: string, attempt: (progressed: () => void) => Promise<T>): Promise<T> {
    const { signal, onNotice } = this.#options;
    return withRetries(attempt, { subject, backoffMs: this.timing.backoffMs, signal, onNotice });
  }

  /**
   * A GET that follows redirects. The caller must read or cancel the body. Any status but 200 and those in `accepted` is
   * an error. Errors: `TransientFailure`; "download"; the signal's reason.
   */
  async get(
    subject: string,
    address: string,
    headers: Readonly<Record<string, string>> = {},
    accepted: readonly number[] = [],
    signal: AbortSignal | undefined = this.#options.signal,
  ): Promise<Response> {
    let url = new URL(address);
    let token = url.origin === new URL(this.access.endpoint).origin ? this.access.token : undefined;
    for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
      const sent = { "user-agent": "idlm", ...headers, ...(token && { authorization: `Bearer ${token}` }) };
      const response = await this.#fetch(subject, url, sent, signal);
      const location = response.headers.get("location");
      if (![301, 302, 303, 307, 308].includes(response.status) || location === null) {
        if (response.status !== 200 && !accepted.includes(response.status))
          await this.#refuse(subject, response, url.host);
        return response;
      }
      await response.body?.cancel().catch(() => {});
      const next = this.#target(subject, location, url);
      if (next.origin !== url.origin) token = undefined;
      url = next;
    }
    throw this.failure(subject, `${this.host} redirects more than ${MAX_REDIRECTS} times`);
  }

  /** Converts an error of reading a body to a `TransientFailure`, or throws the signal's reason. */
  connectionFailure(error: unknown, host: string): TransientFailure {
    this.#options.signal?.throwIfAborted();
    const code = codeOf(error);
    return new TransientFailure(`${host}: ${connectionReasons[code] ?? `the connection failed (${code})`}`);
  }

  failure(subject: string, reason: string, hint = ""): IdlmError {
    return new IdlmError("download", { name: subject, reason, hint });
  }

  /** Closes all connections. */
  async close(): Promise<void> {
    await Promise.all([...this.#dispatchers.values()].map((dispatcher) => dispatcher.destroy().catch(() => {})));
  }

  async #fetch(
    subject: string,
    url: URL,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
  ): Promise<Response> {
    try {
      const dispatcher = this.#dispatcherFor(subject, url);
      const response = await fetch(url, { headers, dispatcher, redirect: "manual", ...(signal && { signal }) });
      this.#reached = true;
      return response;
    } catch (error) {
      if (error instanceof IdlmError) throw error;
      signal?.throwIfAborted();
      const code = codeOf(error);
      if (untrusted.test(code)) throw this.failure(subject, `${url.host}: its certificate is not trusted (${code})`);
      const failure = this.connectionFailure(error, url.host);
      if (!this.#reached && (unreachable.has(code) || code === UNKNOWN))
        throw this.failure(subject, failure.reason, "Set HF_ENDPOINT for another hub, HTTPS_PROXY for a proxy.");
      throw failure;
    }
  }

  #target(subject: string, location: string, from: URL): URL {
    let url: URL;
    try {
      url = new URL(location, from);
    } catch {
      throw this.failure(subject, `${from.host} redirects to an invalid URL`);
    }
    if (url.protocol !== "https:" && !(url.protocol === "http:" && from.protocol === "http:"))
      throw this.failure(subject, `${from.host} redirects away from HTTPS`);
    if (url.username !== "" || url.password !== "")
      throw this.failure(subject, `${from.host} redirects to a URL with a password`);
    return url;
  }

  #dispatcherFor(subject: string, url: URL): Dispatcher {
    const proxy = proxyFor(url, this.#options.environment);
    const known = this.#dispatchers.get(proxy ?? "");
    if (known !== undefined) return known;
    const { connectMs, answerMs, windowMs } = this.timing;
    const options = {
      connect: { timeout: connectMs },
      headersTimeout: answerMs,
      bodyTimeout: Math.max(answerMs, 2 * windowMs),
    };
    let dispatcher: Dispatcher;
    try {
      dispatcher = proxy === undefined ? new Agent(options) : new ProxyAgent({ ...options, uri: proxy });
    } catch {
      // The message does not repeat the address, because it may contain a password.
      throw this.failure(subject, "the environment's proxy is not an HTTP proxy", "Check HTTPS_PROXY.");
    }
    this.#dispatchers.set(proxy ?? "", dispatcher);
    return dispatcher;
  }

  /** Throws the error for a status. */
  async #refuse(subject: string, response: Response, host: string): Promise<never> {
    await response.body?.cancel().catch(() => {});
    const { status, headers } = response;
    if (status === 408 || status === 425 || status === 429 || (status >= 500 && status !== 501)) {
      const what = status === 429 ? "too many requests (429)" : `server error (${status})`;
      throw new TransientFailure(`${host}: ${what}`, retryAfterMs(headers.get("retry-after")));
    }
    const token = this.access.token === undefined ? "No token was found: set HF_TOKEN." : "The token has no access.";
    if (status === 401 || status === 403) {
      const gated = headers.get("x-error-code") === "GatedRepo";
      const reason = gated ? "its conditions must be accepted at the hub first" : "it does not exist or is private";
      throw this.failure(subject, `${host} denies access (${status}): ${reason}`, token);
    }
    if (status === 404) {
      const missing = { EntryNotFound: "no such file", RevisionNotFound: "no such revision" } as const;
      const code = headers.get("x-error-code") as keyof typeof missing | null;
      const reason =
        (code !== null && Object.hasOwn(missing, code) && missing[code]) || "no such repository or revision";
      throw this.failure(
        subject,
        `${reason} at ${host} (404)`,
        "Check the name. There is no local path of this name, either.",
      );
    }
    throw this.failure(subject, `${host} responded with status ${status}`);
  }
}

/** The code of a network error, which undici puts into the cause, or into the errors of several addresses. */
function codeOf(error: unknown): string {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const { code } = at as NodeJS.ErrnoException;
    if (typeof code === "string" && /^[A-Z][A-Z0-9_]{2,60}$/.test(code)) return code;
    if (at instanceof AggregateError && at.errors.length > 0) return codeOf(at.errors[0]);
  }
  return UNKNOWN;
}
