import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { IdlmError } from "../../errors.ts";
import { decodeText, MAX_TEXT_BYTES } from "../options/read-text.ts";
import { type CliIo, write } from "./io.ts";

/** Reads lines from a terminal or a pipe. */
export interface LineReader {
  /** The next line without its line break; undefined at the end of input, or after Ctrl-C while waiting. */
  next(prompt: string): Promise<string | undefined>;
}

export function lineReader(io: CliIo): LineReader {
  return io.stdin.isTTY === true ? new TerminalLines(io) : new PipedLines(io);
}

/**
 * One readline interface per prompt: while it is open, the terminal is in raw mode and Ctrl-C is a key; while the model
 * answers, Ctrl-C must be a signal.
 */
class TerminalLines implements LineReader {
  readonly #io: CliIo;
  /** Further lines of a paste, not yet returned. */
  readonly #waiting: string[] = [];
  #history: string[] = [];

  constructor(io: CliIo) {
    this.#io = io;
  }

  async next(prompt: string): Promise<string | undefined> {
    const early = this.#waiting.shift();
    if (early !== undefined) {
      await write(this.#io.stdout, `${prompt}${early}\n`);
      return early;
    }
    return await new Promise((resolve) => {
      const { stdin, stdout } = this.#io;
      const reader = createInterface({
        input: stdin,
        output: stdout as unknown as NodeJS.WritableStream,
        terminal: true,
        history: this.#history,
        prompt,
      });
      let answer: string | undefined;
      reader.on("history", (history: string[]) => (this.#history = [...history]));
      reader.on("line", (line) => {
        if (answer === undefined) {
          answer = line;
          // Not at once: the rest of a paste follows as further lines in this iteration of the event loop.
          setImmediate(() => reader.close());
        } else this.#waiting.push(line);
      });
      reader.on("SIGINT", () => reader.close());
      reader.on("close", () => {
        if (answer === undefined) stdout.write("\n");
        resolve(answer);
      });
      reader.prompt();
    });
  }
}

/** Lines of a pipe or a file, decoded once they are complete, so that invalid UTF-8 is detected. */
class PipedLines implements LineReader {
  readonly #io: CliIo;
  readonly #lines: AsyncGenerator<string>;

  constructor(io: CliIo) {
    this.#io = io;
    this.#lines = splitLines(io.stdin);
  }

  async next(): Promise<string | undefined> {
    let stop = () => {};
    const interrupted = new Promise<undefined>((resolve) => {
      stop = this.#io.onInterrupt(() => resolve(undefined));
    });
    try {
      const line = this.#lines.next().then(({ value, done }) => (done ? undefined : value));
      return await Promise.race([line, interrupted]);
    } finally {
      stop();
    }
  }
}

async function* splitLines(stream: Readable): AsyncGenerator<string> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    rest = Buffer.concat([rest, chunk]);
    for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n")) {
      yield lineOf(rest.subarray(0, end));
      rest = rest.subarray(end + 1);
    }
    if (rest.length > MAX_TEXT_BYTES) {
      throw new IdlmError("usage", {
        problem: `a line of standard input has more than ${MAX_TEXT_BYTES} bytes`,
        hint: "A message must fit into the model's context.",
      });
    }
  }
  if (rest.length > 0) yield lineOf(rest);
}

function lineOf(bytes: Uint8Array): string {
  return decodeText(bytes).replace(/\r$/, "");
}
