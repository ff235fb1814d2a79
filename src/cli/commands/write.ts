import type { Command } from "commander";
import { type TextManifest, type TextOutcome, type TextTotals, writeText } from "../../training/text/index.ts";
import { addCommonOptions, type Cli, examples, printJson } from "../cli.ts";
import { threadsOption } from "../options/generation-options.ts";
import { integer } from "../options/numbers.ts";
import { loadModel } from "../options/requests.ts";
import { INTERRUPTED, withInterrupt } from "../terminal/interrupt.ts";
import type { CliIo } from "../terminal/io.ts";
import { grouped, LiveLine, printable } from "../terminal/style.ts";
import { Progress, stages } from "../terminal/progress.ts";

interface WriteOptions {
  readonly out: string;
  readonly tokens: number;
  readonly prompts?: string;
  readonly seed: number;
  readonly threads?: number;
  readonly json?: boolean;
}

/** More than anybody trains on; a bound against typing errors. */
const MAX_TOKENS = 1e12;

/** `idlm write`: a model's own training text. */
export function registerWrite(program: Command, cli: Cli): void {
  addCommonOptions(program.command("write"))
    .summary("have a model write its own training text")
    .description(
      "Has a model answer many prompts, to train an adapter on its answers. The prompts are a third each what people wrote (two packages, downloaded by pip), questions that the model asks itself, and tasks about many topics. It can be stopped and run again: it goes on where it stopped, and writes the same text. A finished text is left as it is.",
    )
    .argument(
      "<model>",
      "a catalogue name or ORG/REPO[:FILE] (downloaded if necessary), a GGUF file or a Hugging Face folder",
    )
    .requiredOption(
      "--out <dir>",
      "folder for the text (text.jsonl), dropped requests (dropped.jsonl) and manifest.json",
    )
    .requiredOption(
      "--tokens <n>",
      "tokens of answers to write in all; more continues a finished text",
      integer({ min: 1, max: MAX_TOKENS }),
    )
    .option(
      "--prompts <file>",
      'use the prompts of this file instead, again and again: one per line, as text, or as JSON {"messages": […]} (an answer at the end of a chat is written anew)',
    )
    .option("--seed <n>", "seed of the draws, 0 to 2^53 - 1", integer({ min: 0, max: Number.MAX_SAFE_INTEGER }), 0)
    .addOption(threadsOption())
    .option("--json", "print only the manifest, as JSON")
    .addHelpText(
      "after",
      examples(
        "idlm write smollm2-135m-instruct --out text --tokens 4000000",
        "idlm write model.gguf --out text --tokens 100000 --prompts prompts.jsonl --seed 7",
      ),
    )
    .action(async (name: string, options: WriteOptions) => {
      cli.status = await withInterrupt(cli.io, (signal) => run(cli, name, options, signal));
    });
}

async function run(cli: Cli, name: string, options: WriteOptions, signal: AbortSignal): Promise<number> {
  const { io } = cli;
  const { out, tokens, seed, prompts, threads, json } = options;
  const shown = new WriteProgressLine(io, tokens);
  const download = new Progress(io);
  let last: TextTotals | undefined;
  try {
    const manifest = await writeText({
      ...{ model: name, out, tokens, seed, prompts, signal },
      load: ({ context, ...limits }) => {
        const loadOptions = { adapter: false, context, ...(threads !== undefined && { threads }) } as const;
        return loadModel(io, name, loadOptions, signal, limits);
      },
      onLoad: ({ stage, bytesDone, bytesTotal }) => download.update(`${stages[stage]} ${name}`, bytesDone, bytesTotal),
      onNotice: (sentence) => io.notices.write(`${printable(sentence)}\n`),
      onProgress: ({ totals, outcome }) => {
        last = totals;
        shown.update(totals, outcome);
      },
    });
    shown.end();
    if (json) printJson(cli, manifest);
    else io.notices.write(summary(manifest, out));
    return 0;
  } catch (error) {
    shown.end();
    if (!signal.aborted) throw error;
    const kept =
      last === undefined ? "" : ` ${grouped(last.rows)} rows of ${grouped(last.responseTokens)} tokens are kept.`;
    io.notices.write(`Stopped.${kept} Run the same command again to continue.\n`);
    return INTERRUPTED;
  } finally {
    download.end();
  }
}

function summary(manifest: TextManifest, out: string): string {
  const { rows, held_out_rows, response_tokens, dropped } = manifest;
  const lines = [
    `${printable(out)}: ${grouped(rows)} rows of ${grouped(response_tokens)} tokens, ${grouped(held_out_rows)} rows held out`,
  ];
  const reasons = Object.entries(dropped).map(([reason, n]) => `${reason} ${grouped(n)}`);
  if (reasons.length > 0) lines.push(`dropped requests: ${reasons.join(", ")} (see dropped.jsonl)`);
  return lines.map((line) => `${line}\n`).join("");
}

const REDRAW_MS = 200;
/** Without a terminal. */
const LINE_MS = 30_000;
const SAMPLE_MS = 60_000;
const SAMPLE_CHARACTERS = 200;

/** How far it is, and now and then what was written. */
class WriteProgressLine {
  readonly #io: CliIo;
  readonly #line: LiveLine;
  readonly #tokens: number;
  #startMs: number | undefined;
  #startTokens = 0;
  #drawnMs = Number.NEGATIVE_INFINITY;
  #sampledMs = Number.NEGATIVE_INFINITY;

  constructor(io: CliIo, tokens: number) {
    this.#io = io;
    this.#line = new LiveLine(io);
    this.#tokens = tokens;
  }

  update(totals: TextTotals, outcome: TextOutcome): void {
    const nowMs = performance.now();
    this.#startMs ??= nowMs;
    if (nowMs === this.#startMs) this.#startTokens = totals.responseTokens;
    const isDue = nowMs - this.#sampledMs >= SAMPLE_MS;
    if ("row" in outcome && isDue) {
      this.#sampledMs = nowMs;
      this.#line.clear();
      const [question = "", answer = ""] = outcome.row.messages.slice(-2).map(({ content }) => excerpt(content));
      this.#io.notices.write(
        `${outcome.row.source}, temperature ${outcome.row.temperature}: ${question} → ${answer}\n`,
      );
    }
    if (nowMs - this.#drawnMs < (this.#line.enabled ? REDRAW_MS : LINE_MS)) return;
    this.#drawnMs = nowMs;
    const text = this.#text(totals, (nowMs - this.#startMs) / 1000);
    if (this.#line.enabled) this.#line.show(text);
    else this.#io.notices.write(`${text}\n`);
  }

  end(): void {
    this.#line.clear();
  }

  #text({ rows, responseTokens, dropped }: TextTotals, seconds: number): string {
    const percent = Math.floor((100 * Math.min(responseTokens, this.#tokens)) / this.#tokens);
    const rate = (responseTokens - this.#startTokens) / seconds;
    const nDropped = Object.values(dropped).reduce((sum, n) => sum + n, 0);
    const parts = [
      `${percent} %: ${grouped(rows)} rows of ${grouped(responseTokens)} tokens`,
      `${grouped(nDropped)} dropped`,
    ];
    if (rate > 0 && Number.isFinite(rate)) {
      const minutes = Math.max(0, this.#tokens - responseTokens) / rate / 60;
      const left = minutes < 100 ? `${Math.ceil(minutes)} min` : `${(minutes / 60).toFixed(1)} h`;
      parts.push(`${rate.toFixed(0)} tokens/s, about ${left} left`);
    }
    return parts.join(", ");
  }
}

function excerpt(text: string): string {
  const line = printable(text);
  return line.length > SAMPLE_CHARACTERS ? `${line.slice(0, SAMPLE_CHARACTERS).toWellFormed()}…` : line;
}
