import type { Readable } from "node:stream";

/** What a command writes to: a process stream, or a collector in tests. */
export interface Output {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): boolean;
  once(event: "drain" | "close" | "error", listener: () => void): unknown;
  removeListener(event: "drain" | "close" | "error", listener: () => void): unknown;
}

/** All that a command sees of the process, so that tests can run one without spawning. */
export interface CliIo {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Output;
  readonly stderr: Output;
  /** Progress, figures and warnings: standard error, or nowhere with --quiet. Errors go to `stderr`. */
  readonly notices: Output;
  /** --verbose: figures and progress also where standard error is no terminal, and what was loaded. */
  readonly isVerbose: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Calls `listener` at every Ctrl-C, and every SIGTERM, until the returned function is called. */
  onInterrupt(listener: () => void): () => void;
  /** Ends the process the way an unhandled Ctrl-C does. */
  kill(): void;
}

/** An output that keeps nothing. */
export const nowhere: Output = { write: () => true, once: () => {}, removeListener: () => {} };

/** Writes and, where the reader is slow, waits until it has caught up (or is gone). */
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

/** What ends work early, in order: Ctrl-C, and what `timeout` and service managers send. */
const interrupts = ["SIGINT", "SIGTERM"] as const;

/** The process's own streams and signals. */
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
    kill() {
      process.removeAllListeners("SIGINT");
      process.kill(process.pid, "SIGINT");
    },
  };
}
