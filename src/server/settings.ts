/** Settings of a server, checked by the command line. */
export interface ServeSettings {
  /** The address to listen on. */
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Any of them gives access; none: no key is asked for. */
  readonly apiKeys: readonly string[];
  /** Names in Host headers that are accepted beside those of the loopback addresses. */
  readonly allowHosts: readonly string[];
  /** Origins of web pages that may use the server; "*": all. */
  readonly cors: readonly string[];
  /** Most parts of a stream that share a write; undefined: few, depending on how many requests run. */
  readonly streamInterval: number | undefined;
  /** Most bytes of a body. */
  readonly maxBodyBytes: number;
  /** Most milliseconds of a request, from its headers to the end of the answer. */
  readonly timeoutMs: number | undefined;
  /** Milliseconds that running requests have after the signal to stop. */
  readonly drainMs: number;
  /** Milliseconds in which a request has to arrive whole. */
  readonly arrivalMs: number;
  /** File with the page at /; undefined: none. */
  readonly page: string | undefined;
  /** File of the thread that compiles grammars; undefined: they are compiled in the server's own. */
  readonly grammarThread: string | undefined;
  /** Requests that are read, wait or run at once, over all models. */
  readonly maxRequests: number;
  /** Requests and tokens of a key (or, without keys, of an address) in a minute. */
  readonly requestsPerMinute: number | undefined;
  readonly tokensPerMinute: number | undefined;
  /** Whether the log holds the bodies of requests. */
  readonly logsPrompts: boolean;
  /** Whether metrics also have vLLM's names. */
  readonly hasVllmMetrics: boolean;
}

export const defaultSettings: ServeSettings = {
  host: "127.0.0.1",
  port: 8080,
  apiKeys: [],
  allowHosts: [],
  cors: [],
  // A context of 128 k tokens is about 0.6 MB of text; a list of prompts has several.
  maxBodyBytes: 16 * 2 ** 20,
  streamInterval: undefined,
  timeoutMs: undefined,
  page: undefined,
  grammarThread: undefined,
  drainMs: 30_000,
  // With the interval at which Node checks (a quarter of it) below the two minutes that are promised.
  arrivalMs: 90_000,
  maxRequests: 1024 + 16,
  requestsPerMinute: undefined,
  tokensPerMinute: undefined,
  logsPrompts: false,
  hasVllmMetrics: false,
};

const loopbackNames: ReadonlySet<string> = new Set(["localhost", "::1", "[::1]"]);

/** Whether only this machine reaches an address, or a Host header names one of those. */
export function isLoopback(host: string): boolean {
  return loopbackNames.has(host.toLowerCase()) || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}
