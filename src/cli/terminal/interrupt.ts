import type { CliIo } from "./io.ts";

/** Exit status after Ctrl-C (or SIGTERM): 128 + SIGINT, as shells expect. */
export const INTERRUPTED = 130;

/**
 * Runs `work` with a signal that the first Ctrl-C (or SIGTERM) aborts; the second one ends the process at once, in case
 * `work` ignores the signal. The listener is removed when `work` is done.
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

/** Whether an error is that of an aborted AbortSignal. */
export function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}
