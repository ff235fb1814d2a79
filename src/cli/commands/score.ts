import type { Command } from "commander";
import { IdlmError } from "../../errors.ts";
import type { Model, ScoredText } from "../../index.ts";
import { addCommonOptions, type Cli, examples, printJson } from "../cli.ts";
import { backendOption, contextOption, threadsOption } from "../options/generation-options.ts";
import { readText, readTextFile } from "../options/read-text.ts";
import { loadModel } from "../options/requests.ts";
import { withInterrupt } from "../terminal/interrupt.ts";
import type { CliIo } from "../terminal/io.ts";
import { grouped, LiveLine, table } from "../terminal/style.ts";

interface ScoreOptions {
  readonly text: string;
  readonly context?: number;
  readonly threads?: number;
  readonly backend?: "native" | "reference";
  readonly json?: boolean;
}

/** `idlm score`: computes the likelihood of a text. */
export function registerScore(program: Command, cli: Cli): void {
  addCommonOptions(program.command("score"))
    .summary("compute the log-likelihood and perplexity of a text")
    .description(
      "Computes the log-probability of each token of a text, given the tokens before it, under the model itself (without " +
        "adapter and sampling settings); prints the mean negative log-likelihood (NLL, in nats per token), the perplexity " +
        "(e to the NLL) and the bits per byte. Special tokens in the text are plain text. A text longer than the context is " +
        "scored in windows that overlap by half, so that each token is scored once, with at least half a window before it.",
    )
    .argument("<model>", "a model as in run")
    .requiredOption("--text <file>", "the text, in UTF-8; - reads it from standard input")
    .addOption(contextOption("positions per window (default: the model's context length, within memory)"))
    .addOption(threadsOption())
    .addOption(backendOption())
    .option("--json", "print only the results and each token's log-probability, as JSON")
    .addHelpText(
      "after",
      examples(
        "idlm score smollm2-135m-instruct --text book.txt",
        "idlm score model.gguf --text book.txt --context 512 --json",
        "cat book.txt | idlm score folder --text -",
      ),
    )
    .action(async (name: string, options: ScoreOptions) => {
      await withInterrupt(cli.io, (signal) => score(cli, name, options, signal));
    });
}

async function score(cli: Cli, name: string, options: ScoreOptions, signal: AbortSignal): Promise<void> {
  const { io } = cli;
  const text =
    options.text === "-"
      ? await readText(io.stdin, signal)
      : readTextFile(options.text, "--text names the file to score.");
  const model = await loadModel(io, name, { ...options, adapter: false }, signal);
  try {
    if (model.tokenizer === undefined) {
      throw new IdlmError("usage", { problem: `${name} has no tokenizer`, hint: "Name a model with a tokenizer." });
    }
    const startMs = performance.now();
    const result = await withProgress(io, (onProgress) => model.score({ text, onProgress, signal }));
    const figures = { ...figuresOf(model, result), elapsedMs: performance.now() - startMs };
    if (options.json) printJson(cli, { model: name, ...figures, tokens: tokensOf(model, result) });
    else io.stdout.write(textOf(figures));
  } finally {
    await model.dispose();
  }
}

type OnProgress = (progress: { readonly tokensDone: number; readonly tokensTotal: number }) => void;

/** Without a terminal it prints a line per 10 %, and only with --verbose. */
async function withProgress<T>(io: CliIo, work: (onProgress: OnProgress) => Promise<T>): Promise<T> {
  const live = new LiveLine(io);
  let tenth = 0;
  try {
    return await work(({ tokensDone, tokensTotal }) => {
      live.show(`scoring ${grouped(tokensDone)} of ${grouped(tokensTotal)} tokens`);
      const now = Math.floor((10 * tokensDone) / tokensTotal);
      if (now > tenth && !live.enabled && io.isVerbose) io.notices.write(`scored ${now * 10} %\n`);
      tenth = now;
    });
  } finally {
    live.clear();
  }
}

function figuresOf(model: Model, { tokens, nScored, meanNll, perplexity, context, nWindows }: ScoredText) {
  const { instructionSet, threads, numerics } = model.info.backend;
  const scored = tokens.flatMap(({ token, logprob }) => (logprob === undefined ? [] : [token]));
  const nBytes = Buffer.byteLength(model.detokenize(scored));
  return {
    meanNll,
    perplexity,
    // Per byte of the scored tokens, so that models with different tokenizers can be compared.
    bitsPerByte: (meanNll * nScored) / Math.LN2 / nBytes,
    tokenCount: tokens.length,
    scoredTokens: nScored,
    context,
    windows: nWindows,
    ...{ instructionSet, threads, numerics },
  };
}

/** Each token with the text that it adds; a missing log-probability is null. */
function tokensOf(model: Model, { tokens }: ScoredText) {
  const stream = model.tokenizer?.stream();
  return tokens.map(({ token, logprob = null }) => ({ token, piece: stream?.push(token) ?? "", logprob }));
}

function textOf(figures: ReturnType<typeof figuresOf> & { readonly elapsedMs: number }): string {
  const { meanNll, perplexity, bitsPerByte, tokenCount, scoredTokens, context, windows, elapsedMs } = figures;
  return table([
    ["mean NLL", meanNll.toFixed(4)],
    ["perplexity", perplexity.toFixed(perplexity < 1e6 ? 3 : 0)],
    ["bits per byte", bitsPerByte.toFixed(4)],
    ["tokens scored", `${grouped(scoredTokens)} of ${grouped(tokenCount)}`],
    ["windows", `${grouped(windows)} of ${grouped(context)} positions`],
    ["tokens/s", ((1000 * tokenCount) / elapsedMs).toFixed(0)],
  ]);
}
