import { setTimeout as sleep } from "node:timers/promises";
import { IdlmError } from "../../errors.ts";

/** A failure that may pass by itself; another attempt is worth it. */
export class TransientFailure extends Error {
  /** What happened, as part of a sentence. */
  readonly reason: string;
  /** What the server asks to wait at least. */
  readonly waitMs: number | undefined;

  constructor(reason: string, waitMs?: number) {
    super(reason);
    this.reason = reason;
    this.waitMs = waitMs;
  }
}

/** Attempts in a row that get nowhere. */
export const MAX_ATTEMPTS = 5;
/** A server that asks for more than that is not waited for. */
export const MAX_RETRY_AFTER_MS = 120_000;
/** Waits shorter than that are not worth a message. */
const SILENT_WAIT_MS = 1500;

export interface RetryOptions {
  /** What is fetched, in error messages. */
  readonly subject: string;
  /** Wait after the first failure; doubled after each more. */
  readonly backoffMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Told in a sentence that something is waited for. */
  readonly onNotice?: ((sentence: string) => void) | undefined;
}

/**
 * Calls `attempt` until it returns, waiting longer and longer after each `TransientFailure`; one that calls `progressed`
 * got somewhere and starts the count anew. Errors: "download" after `MAX_ATTEMPTS` in a row that did not; what
 * `attempt` throws else; the signal's reason.
 */
export async function withRetries<T>(
  attempt: (progressed: () => void) => Promise<T>,
  { subject, backoffMs, signal, onNotice }: RetryOptions,
): Promise<T> {
  for (let failures = 0; ; ) {
    signal?.throwIfAborted();
    try {
      return await attempt(() => {
        failures = 0;
      });
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof TransientFailure)) throw error;
      const { reason } = error;
      failures++;
      if (failures >= MAX_ATTEMPTS)
        throw failure(subject, `${reason} (${failures} times in a row)`, "Try again later: what has come is kept.");
      if ((error.waitMs ?? 0) > MAX_RETRY_AFTER_MS) {
        const seconds = Math.ceil((error.waitMs ?? 0) / 1000);
        throw failure(subject, `${reason} and asks to wait ${seconds} s`, "Try again then: what has come is kept.");
      }
      // Up to a half more: many who failed at once must not come back at once.
      const backoff = backoffMs * 2 ** (failures - 1) * (1 + Math.random() / 2);
      const waitMs = Math.max(backoff, error.waitMs ?? 0);
      if (waitMs >= SILENT_WAIT_MS) onNotice?.(`${subject}: ${reason}; trying again in ${Math.ceil(waitMs / 1000)} s`);
      await sleep(waitMs, undefined, { signal }).catch(() => {});
    }
  }
}

function failure(name: string, reason: string, hint: string): IdlmError {
  return new IdlmError("download", { name, reason, hint });
}

/** Retry-After: seconds, or a date (RFC 9110, section 10.2.3). Undefined where it is neither. */
export function retryAfterMs(header: string | null, nowMs = Date.now()): number | undefined {
  if (header === null) return undefined;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}
