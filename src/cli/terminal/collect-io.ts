import { EventEmitter } from "node:events";
import { Readable } from "node:stream";
import { runCli } from "../program.ts";
import type { CliIo } from "./io.ts";

/** Settings for running a command line in a test. */
export interface Collect {
  /** Content of stdin; an array for several chunks. */
  readonly stdin?: string | Uint8Array | readonly (string | Uint8Array)[];
  /** Whether all three streams are a terminal. */
  readonly tty?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  /** Called after each write with the whole stdout so far; `interrupt` simulates Ctrl-C. */
  readonly onStdout?: (text: string, interrupt: () => void) => void;
  /** The same for stderr. */
  readonly onStderr?: (text: string, interrupt: () => void) => void;
}

export interface Collected {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly killed: boolean;
}

class Collector extends EventEmitter {
  readonly columns = 100;
  text = "";
  constructor(
    readonly isTTY: boolean,
    private readonly written: (text: string) => void = () => {},
  ) {
    super();
  }
  write(text: string): boolean {
    this.text += text;
    this.written(this.text);
    return true;
  }
}

/** Runs a command line in this process and collects its output (for tests). */
export async function collect(argv: readonly string[], settings: Collect = {}): Promise<Collected> {
  const { tty = false, stdin = "", env = {}, onStdout, onStderr } = settings;
  const listeners = new Set<() => void>();
  let killed = false;
  const interrupt = () => {
    for (const listener of [...listeners]) listener();
  };
  const stdout = new Collector(tty, (text) => onStdout?.(text, interrupt));
  const stderr = new Collector(tty, (text) => onStderr?.(text, interrupt));
  const chunks = typeof stdin === "string" || stdin instanceof Uint8Array ? [stdin] : stdin;
  const io: CliIo = {
    stdin: Object.assign(Readable.from(chunks.map((chunk) => Buffer.from(chunk as Uint8Array))), { isTTY: tty }),
    stdout,
    stderr,
    notices: stderr,
    isVerbose: false,
    env,
    onInterrupt(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    // Of the process that runs the tests.
    lowerPriority() {},
    kill() {
      killed = true;
    },
  };
  const status = await runCli(argv, io);
  return { status, stdout: stdout.text, stderr: stderr.text, killed };
}
