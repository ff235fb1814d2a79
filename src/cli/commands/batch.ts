import { realpathSync, statSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import { type BatchProgress, runBatch } from "../../batch/batch.ts";
import { IdlmError } from "../../errors.ts";
import { addCommonOptions, type Cli, examples, printJson } from "../cli.ts";
import { addLoadOptions, type LoadOptions } from "../options/generation-options.ts";
import { integer } from "../options/numbers.ts";
import { loadModel } from "../options/requests.ts";
import { INTERRUPTED, withInterrupt } from "../terminal/interrupt.ts";
import type { CliIo } from "../terminal/io.ts";
import { canRedraw, grouped, LiveLine } from "../terminal/style.ts";

interface BatchOptions extends LoadOptions {
  readonly in: string;
  readonly out: string;
  readonly concurrency: number;
  readonly json?: boolean;
}

/** The engine's limit. */
const MAX_CONCURRENCY = 256;
const DEFAULT_CONCURRENCY = 16;

/** `idlm batch`: runs a file of requests. */
export function registerBatch(program: Command, cli: Cli): void {
  const command = addCommonOptions(program.command("batch"))
    .summary("run a file of requests")
    .description(
      "Runs the requests of a file in the format of the OpenAI batch API, many at once. It can be stopped and run again: responses in --out are kept, and only the missing requests are run. A failed request gets a response with an error.",
    )
    .argument("<model>", "a model as in run")
    .requiredOption(
      "--in <file>",
      'requests, one per line: {"custom_id": "…", "method": "POST", "url": "/v1/chat/completions", "body": {…}}; - reads them from standard input. The model of a request is ignored',
    )
    .requiredOption(
      "--out <file>",
      "responses, one per line, in order of completion; anything but a regular file is only written to",
    )
    .option(
      "--concurrency <n>",
      `requests that run at once, 1 to ${MAX_CONCURRENCY}`,
      integer({ min: 1, max: MAX_CONCURRENCY }),
      DEFAULT_CONCURRENCY,
    );
  addLoadOptions(command)
    .option("--json", "print only the counts, as JSON")
    .addHelpText(
      "after",
      examples(
        "idlm batch smollm2-135m-instruct --in requests.jsonl --out answers.jsonl",
        "idlm batch model.gguf --in requests.jsonl --out answers.jsonl --concurrency 32 --context 2048",
        "head -3 requests.jsonl | idlm batch model.gguf --in - --out /dev/stdout",
      ),
    )
    .action(async (name: string, options: BatchOptions) => {
      cli.status = await withInterrupt(cli.io, (signal) => run(cli, name, options, signal));
    });
}

async function run(cli: Cli, name: string, options: BatchOptions, signal: AbortSignal): Promise<number> {
  const { io } = cli;
  const isPiped = options.in === "-";
  const nBytes = isPiped ? undefined : sizeOf(options.in);
  if (!isPiped && isSameFile(options.in, options.out)) {
    throw new IdlmError("usage", {
      problem: "--in and --out name the same file",
      hint: "Name another file for the responses.",
    });
  }
  const { concurrency } = options;
  const model = await loadModel(io, name, options, signal, {
    maxSequences: concurrency,
    // The batch itself limits the requests that wait.
    maxQueue: Number.MAX_SAFE_INTEGER,
  });
  const shown = new BatchLine(io, nBytes, options.json === true);
  try {
    const files = { input: isPiped ? io.stdin : options.in, output: options.out };
    const progress = await runBatch(model, {
      ...{ ...files, modelName: name, concurrency, signal },
      onProgress: (now) => shown.update(now),
    });
    shown.end();
    const { answered, failed, kept, tokens } = progress;
    const figures = { answered, failed, kept, tokens, seconds: shown.seconds, stopped: signal.aborted };
    if (options.json) printJson(cli, figures);
    else io.notices.write(`${summary(progress, shown.seconds)}\n`);
    if (!signal.aborted) return 0;
    if (!options.json) io.notices.write("Stopped. Run the same command again to continue.\n");
    return INTERRUPTED;
  } finally {
    shown.end();
    await model.dispose();
  }
}

function summary({ answered, failed, kept, tokens }: BatchProgress, seconds: number): string {
  const parts = [`${grouped(answered)} answered`];
  if (failed > 0) parts.push(`${grouped(failed)} failed (see their responses)`);
  if (kept > 0) parts.push(`${grouped(kept)} done before`);
  parts.push(
    `${grouped(tokens)} tokens in ${seconds.toFixed(1)} s, ${(tokens / Math.max(seconds, 1e-3)).toFixed(1)}/s`,
  );
  return parts.join(", ");
}

/** Columns of the bar. */
const BAR_WIDTH = 24;
const REDRAW_MS = 100;

/** A progress bar over the input's bytes; without a terminal a line per 10 %. Only counts if the size is unknown. */
class BatchLine {
  readonly #io: CliIo;
  readonly #line: LiveLine;
  readonly #nBytes: number | undefined;
  readonly #isSilent: boolean;
  readonly #startMs = performance.now();
  #drawnMs = -Infinity;
  #tenth = 0;

  /** `isSilent`: print only the bar of a terminal. */
  constructor(io: CliIo, nBytes: number | undefined, isSilent: boolean) {
    this.#isSilent = isSilent;
    this.#io = io;
    this.#line = new LiveLine(io);
    this.#nBytes = nBytes;
  }

  get seconds(): number {
    return (performance.now() - this.#startMs) / 1000;
  }

  update(progress: BatchProgress): void {
    const share = this.#nBytes === undefined ? 0 : Math.min(1, progress.bytes / Math.max(1, this.#nBytes));
    if (!canRedraw(this.#io, this.#io.notices)) {
      const tenth = Math.floor(10 * share);
      if (tenth > this.#tenth && tenth < 10 && !this.#isSilent)
        this.#io.notices.write(`${tenth * 10} %: ${this.#counts(progress)}\n`);
      this.#tenth = tenth;
      return;
    }
    const nowMs = performance.now();
    if (nowMs - this.#drawnMs < REDRAW_MS) return;
    this.#drawnMs = nowMs;
    const bar = "#".repeat(Math.round(share * BAR_WIDTH)).padEnd(BAR_WIDTH, ".");
    const drawn = this.#nBytes === undefined ? "" : `[${bar}] ${Math.floor(share * 100)} % `;
    this.#line.show(drawn + this.#counts(progress));
  }

  end(): void {
    this.#line.clear();
  }

  #counts(progress: BatchProgress): string {
    return summary(progress, this.seconds);
  }
}

function sizeOf(path: string): number {
  try {
    const stat = statSync(path);
    if (stat.isFile()) return stat.size;
  } catch {
    throw new IdlmError("file-missing", { path, hint: "--in names a file of requests." });
  }
  throw new IdlmError("file-unreadable", { path, reason: "it is not a regular file" });
}

function isSameFile(a: string, b: string): boolean {
  const real = (path: string) => {
    try {
      return realpathSync(path);
    } catch {
      return resolve(path);
    }
  };
  return real(a) === real(b);
}
