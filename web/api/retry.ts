import { type Connection, RequestFailure, request } from "./client.ts";

/** What the page says about the server while a request waits. */
export type ServerState =
  | { readonly kind: "ready" }
  | { readonly kind: "gone" }
  | { readonly kind: "busy"; readonly message: string; readonly seconds: number }
  | { readonly kind: "key"; readonly message: string };

export interface RetryOptions {
  readonly signal: AbortSignal;
  /** Current connection: the key may change while the request waits. */
  readonly connection: () => Connection;
  readonly onState: (state: ServerState) => void;
  /** Resolves when the user has given a key. */
  readonly nextKey: (signal: AbortSignal) => Promise<void>;
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** Seconds between questions whether the server is back; the last one repeats. */
const POLL_SECONDS = [0.5, 1, 2, 3, 5];
/** Where the server does not say when to ask again. */
const BUSY_SECONDS = 2;

/**
 * Runs `attempt` until it succeeds, again from its beginning when the server was gone, busy or wanted a key. Other failures
 * are thrown.
 */
export async function persistently<T>(
  attempt: (connection: Connection) => Promise<T>,
  { signal, connection, onState, nextKey, sleep = sleepFor }: RetryOptions,
): Promise<T> {
  for (;;) {
    try {
      const result = await attempt(connection());
      onState({ kind: "ready" });
      return result;
    } catch (error) {
      if (!(error instanceof RequestFailure) || error.kind === "refused") throw error;
      if (error.kind === "key") {
        onState({ kind: "key", message: error.message });
        await nextKey(signal);
      } else if (error.kind === "busy") {
        const seconds = Math.max(0.5, error.retryAfterSeconds ?? BUSY_SECONDS);
        onState({ kind: "busy", message: error.message, seconds });
        await sleep(1000 * seconds, signal);
      } else {
        onState({ kind: "gone" });
        await untilBack(connection, signal, sleep);
      }
    }
  }
}

/** Resolves when the server answers again, whatever it says. */
async function untilBack(
  connection: () => Connection,
  signal: AbortSignal,
  sleep: NonNullable<RetryOptions["sleep"]>,
): Promise<void> {
  for (let i = 0; ; i++) {
    await sleep(1000 * (POLL_SECONDS[Math.min(i, POLL_SECONDS.length - 1)] ?? 1), signal);
    try {
      await request(connection(), "/health", { signal });
      return;
    } catch (error) {
      if (!(error instanceof RequestFailure)) throw error;
      if (error.kind !== "gone") return;
    }
  }
}

export function sleepFor(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", abort);
      resolve();
    }, ms);
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
  });
}
