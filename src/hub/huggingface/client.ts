import { type Dispatcher, Agent, fetch, ProxyAgent, type Response } from "undici";
import { IdlmError } from "../../errors.ts";
import type { HubAccess } from "./access.ts";
import { proxyFor } from "./proxy.ts";
import { retryAfterMs, TransientFailure, withRetries } from "./retry.ts";

export interface HubTiming {
  readonly connectMs: number;
  /** From the request to the answer's headers; also the longest silence inside of a small answer. */
  readonly answerMs: number;
  /** A body has to bring at least `MIN_WINDOW_BYTES` in each such window. */
  readonly windowMs: number;
  readonly backoffMs: number;
}

const defaultTiming: HubTiming = { connectMs: 15_000, answerMs: 30_000, windowMs: 30_000, backoffMs: 500 };

/** A hub takes one or two: to the storage, and after a repository was renamed. */
const MAX_REDIRECTS = 5;
/** Below 550 bytes per second a connection counts as stalled. */
export const MIN_WINDOW_BYTES = 16 * 1024;

export interface HubClientOptions {
  /** The environment's variables for proxies. */
  readonly environment: NodeJS.ProcessEnv;
  readonly timing?: Partial<HubTiming> | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onNotice?: ((sentence: string) => void) | undefined;
}

/** Names of a failed connection, and what they mean. The texts of other layers may repeat headers; these do not. */
const connectionReasons: Readonly<Record<string, string>> = {
  ENOTFOUND: "its name is not known here; this machine may be offline",
  EAI_AGAIN: "its name cannot be looked up; this machine may be offline",
  ENETUNREACH: "the network cannot be reached; this machine may be offline",
  EHOSTUNREACH: "it cannot be reached",
  ECONNREFUSED: "it refuses the connection",
  ECONNRESET: "it dropped the connection",
  EPIPE: "it dropped the connection",
  UND_ERR_SOCKET: "it dropped the connection",
  UND_ERR_CONNECT_TIMEOUT: "it did not take the connection in time",
  ETIMEDOUT: "it did not take the connection in time",
  UND_ERR_HEADERS_TIMEOUT: "it did not answer in time",
  UND_ERR_BODY_TIMEOUT: "it stopped sending",
  UND_ERR_HEADERS_OVERFLOW: "its headers are too long",
};
/** Of an error without a name: fetch refuses the address (a port that it does not allow). */
const UNKNOWN = "unknown reason";
/** Before the hub was reached once, these mean that there is nothing to wait for. */
const unreachable = new Set(["ENOTFOUND", "ENETUNREACH", "EHOSTUNREACH", "ECONNREFUSED"]);
const untrusted = /CERT|^ERR_(?:TLS|SSL)|SELF_SIGNED|UNABLE_TO_VERIFY/;

/**
 * HTTP as a hub needs it: redirects are followed by hand, so that the token goes to the endpoint's origin only and never
 * again once a redirect led away; failures are told apart into those that may pass and errors of the catalogue; every
 * wait is bounded. Nothing that a server wrote gets into a message.
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

  /** As `withRetries`, with this client's waits, signal and notices. */
  retrying<T>(subject: string, attempt: (progressed: () => void) => Promise<T>): Promise<T> {
    const { signal, onNotice } = this.#options;
    return withRetries(attempt, { subject, backoffMs: this.timing.backoffMs, signal, onNotice });
  }

  /**
   * One GET, after redirects. The body has not been read; the caller reads or cancels it. A status not in `accepted`
   * (200 is always) is an error. Errors: `TransientFailure`; "download"; the signal's reason.
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

  /** Turns what a reader of a body throws into a `TransientFailure`, or the signal's reason. */
  connectionFailure(error: unknown, host: string): TransientFailure {
    this.#options.signal?.throwIfAborted();
    const code = codeOf(error);
    return new TransientFailure(`${host}: ${connectionReasons[code] ?? `the connection failed (${code})`}`);
  }

  failure(subject: string, reason: string, hint = ""): IdlmError {
    return new IdlmError("download", { name: subject, reason, hint });
  }

  /** Ends all connections. */
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
        throw this.failure(subject, failure.reason, "HF_ENDPOINT names another hub, HTTPS_PROXY a proxy.");
      throw failure;
    }
  }

  #target(subject: string, location: string, from: URL): URL {
    let url: URL;
    try {
      url = new URL(location, from);
    } catch {
      throw this.failure(subject, `${from.host} redirects to no address`);
    }
    if (url.protocol !== "https:" && !(url.protocol === "http:" && from.protocol === "http:"))
      throw this.failure(subject, `${from.host} redirects away from HTTPS`);
    if (url.username !== "" || url.password !== "")
      throw this.failure(subject, `${from.host} redirects to an address with a password`);
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
      // Its address may hold a password and is not repeated.
      throw this.failure(subject, "the proxy that the environment names is none for HTTP", "Look at HTTPS_PROXY.");
    }
    this.#dispatchers.set(proxy ?? "", dispatcher);
    return dispatcher;
  }

  /** Throws what a status means. */
  async #refuse(subject: string, response: Response, host: string): Promise<never> {
    await response.body?.cancel().catch(() => {});
    const { status, headers } = response;
    if (status === 408 || status === 425 || status === 429 || (status >= 500 && status !== 501)) {
      const what = status === 429 ? "it is asked too often (429)" : `it failed (${status})`;
      throw new TransientFailure(`${host}: ${what}`, retryAfterMs(headers.get("retry-after")));
    }
    const token = this.access.token === undefined ? "No token was found: set HF_TOKEN." : "The token does not open it.";
    if (status === 401 || status === 403) {
      const gated = headers.get("x-error-code") === "GatedRepo";
      const reason = gated ? "its conditions have to be accepted at the hub first" : "it does not exist or is private";
      throw this.failure(subject, `${host} refuses access (${status}): ${reason}`, token);
    }
    if (status === 404) {
      const missing = { EntryNotFound: "no such file", RevisionNotFound: "no such revision" } as const;
      const code = headers.get("x-error-code") as keyof typeof missing | null;
      const reason =
        (code !== null && Object.hasOwn(missing, code) && missing[code]) || "no such repository or revision";
      throw this.failure(
        subject,
        `${host} says that there is ${reason} (404)`,
        "Look at its name; a path of this name is not here, either.",
      );
    }
    throw this.failure(subject, `${host} answers with status ${status}`);
  }
}

/** The name of a network error: undici hides it in the cause, sometimes of several addresses tried. */
function codeOf(error: unknown): string {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const { code } = at as NodeJS.ErrnoException;
    if (typeof code === "string" && /^[A-Z][A-Z0-9_]{2,60}$/.test(code)) return code;
    if (at instanceof AggregateError && at.errors.length > 0) return codeOf(at.errors[0]);
  }
  return UNKNOWN;
}
