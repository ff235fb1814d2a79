import { setTimeout as sleep } from "node:timers/promises";
import { IdlmError } from "../../errors.ts";

/** A failure that may be temporary, so that another attempt makes sense. */
export class TransientFailure extends Error {
  /** What happened, as part of a sentence. */
  readonly reason: string;
  /** The wait that the server requests. */
  readonly waitMs: number | undefined;

  constructor(reason: string, waitMs?: number) {
    super(reason);
    this.reason = reason;
    this.waitMs = waitMs;
  }
}

/** Consecutive attempts without progress. */
export const MAX_ATTEMPTS = 5;
/** Longest wait that a server may request; beyond it the download fails. */
export const MAX_RETRY_AFTER_MS = 120_000;
/** Shorter waits are not reported. */
const SILENT_WAIT_MS = 1500;

export interface RetryOptions {
  /** Name of the download in error messages. */
  readonly subject: string;
  /** Wait after the first failure; doubles with each further one. */
  readonly backoffMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Receives a message when it waits. */
  readonly onNotice?: ((sentence: string) => void) | undefined;
}

/**
 * Calls `attempt` until it returns, with exponential backoff after each `TransientFailure`. Calling `progressed` resets the
 * count. Errors: "download" after `MAX_ATTEMPTS` consecutive failures; any other error of `attempt`; the signal's reason.
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
        throw failure(
          subject,
          `${reason} (${failures} attempts)`,
          "Try again later: the bytes downloaded so far are kept.",
        );
      if ((error.waitMs ?? 0) > MAX_RETRY_AFTER_MS) {
        const seconds = Math.ceil((error.waitMs ?? 0) / 1000);
        throw failure(
          subject,
          `${reason} and requests a wait of ${seconds} s`,
          "Try again then: the bytes downloaded so far are kept.",
        );
      }
      // Random jitter of up to 50 %, so that clients that failed together do not retry together.
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

/** Parses Retry-After, in seconds or a date (RFC 9110, section 10.2.3). Undefined if it is neither. */
export function retryAfterMs(header: string | null, nowMs = Date.now()): number | undefined {
  if (header === null) return undefined;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}
