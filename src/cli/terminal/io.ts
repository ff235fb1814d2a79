import { constants, setPriority } from "node:os";
import type { Readable } from "node:stream";

/** An output of a command: a process stream, or a collector in tests. */
export interface Output {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): boolean;
  once(event: "drain" | "close" | "error", listener: () => void): unknown;
  removeListener(event: "drain" | "close" | "error", listener: () => void): unknown;
}

/** A command's interface to the process, so that tests can run it without spawning. */
export interface CliIo {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Output;
  readonly stderr: Output;
  /** Progress, statistics and warnings: standard error, or discarded with --quiet. Errors go to `stderr`. */
  readonly notices: Output;
  /** --verbose: also print what was loaded, and statistics and progress even if standard error is not a terminal. */
  readonly isVerbose: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Calls `listener` at every Ctrl-C, and every SIGTERM, until the returned function is called. */
  onInterrupt(listener: () => void): () => void;
  /** Lets other programs go first, also before threads that are started from now on. */
  lowerPriority(): void;
  /** Ends the process like an unhandled Ctrl-C. */
  kill(): void;
}

/** An output that discards everything. */
export const nowhere: Output = { write: () => true, once: () => {}, removeListener: () => {} };

/** Writes, and waits if the reader is slow until it has caught up or closed the stream. */
export async function write(output: Output, text: string): Promise<void> {
  if (text === "" || output.write(text)) return;
  await new Promise<void>((resolve) => {
    const events = ["drain", "close", "error"] as const;
    const done = () => {
      for (const event of events) output.removeListener(event, done);
      resolve();
    };
    for (const event of events) output.once(event, done);
  });
}

/** Signals that stop work gracefully: Ctrl-C, and the signal of `timeout` and service managers. */
const interrupts = ["SIGINT", "SIGTERM"] as const;

/** The process's streams and signals. */
export function processIo(): CliIo {
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    notices: process.stderr,
    isVerbose: false,
    env: process.env,
    onInterrupt(listener) {
      for (const signal of interrupts) process.on(signal, listener);
      return () => {
        for (const signal of interrupts) process.off(signal, listener);
      };
    },
    lowerPriority() {
      try {
        setPriority(constants.priority.PRIORITY_LOW);
      } catch {
        // Not allowed here; it is a courtesy only.
      }
    },
    kill() {
      process.removeAllListeners("SIGINT");
      process.kill(process.pid, "SIGINT");
    },
  };
}
