import type { CliIo } from "./io.ts";

/** Exit status after Ctrl-C (or SIGTERM): 128 + SIGINT, what shells expect. */
export const INTERRUPTED = 130;

/**
 * Runs `work` with a signal that the first Ctrl-C (or SIGTERM) aborts; the second ends the process at once, for work that does not
 * listen. The listener is gone when `work` is done, so that Ctrl-C elsewhere keeps its usual meaning.
 */
export async function withInterrupt<T>(io: CliIo, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const stop = io.onInterrupt(() => {
    if (controller.signal.aborted) io.kill();
    else controller.abort();
  });
  try {
    return await work(controller.signal);
  } finally {
    stop();
  }
}

/** True for what an aborted AbortSignal makes asynchronous code throw. */
export function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}
