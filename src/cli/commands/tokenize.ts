import { isUtf8 } from "node:buffer";
import type { Command } from "commander";
import { escapeControls } from "../../errors.ts";
import { bareTokenizerFolder, openTokenizer } from "../../model/open/open-tokenizer.ts";
import type { Tokenizer } from "../../tokenizer/index.ts";
import { addCommonOptions, type Cli, examples, printJson } from "../cli.ts";
import { readText } from "../options/read-text.ts";
import { withInterrupt } from "../terminal/interrupt.ts";
import { grouped } from "../terminal/style.ts";
import { resolveWithProgress } from "./pull.ts";

interface TokenizeOptions {
  readonly special?: boolean;
  readonly json?: boolean;
}

/** `idlm tokenize`: shows the tokens of a text. */
export function registerTokenize(program: Command, cli: Cli): void {
  addCommonOptions(program.command("tokenize"))
    .summary("show the tokens of a text")
    .description(
      "Prints the tokens of a text: their ids, the piece of text of each, and counts. No tokens are added before or after the " +
        "text. Weights are not read.",
    )
    .argument("<model>", "a model as in run, a GGUF file with only a vocabulary, or a tokenizer.json")
    .argument("<text>", "the text; - reads it from standard input, unchanged")
    .option("--special", "recognise special tokens in the text (default: treat them as plain text)")
    .option("--json", "print only ids, pieces and counts, as JSON")
    .addHelpText(
      "after",
      examples(
        'idlm tokenize smollm2-135m-instruct "What is a forest?"',
        "idlm tokenize model.gguf - --json < book.txt",
        'idlm tokenize tokenizer.json "<|im_start|>user" --special',
      ),
    )
    .action(async (name: string, given: string, { special = false, json }: TokenizeOptions) => {
      await withInterrupt(cli.io, async (signal) => {
        const text = given === "-" ? await readText(cli.io.stdin, signal) : given;
        const bare = bareTokenizerFolder(name);
        const tokenizer = openTokenizer(
          bare === undefined ? await resolveWithProgress(cli.io, name, signal) : { kind: "tokenizer", path: bare },
        );
        const ids = tokenizer.encode(text, { special });
        if (json) printJson(cli, { ids, pieces: piecesOf(tokenizer, ids), counts: countsOf(text, ids) });
        else cli.io.stdout.write(textOf(tokenizer, text, ids));
      });
    });
}

/** The text that each token adds; a character split over several tokens is in the piece of the last one. */
function piecesOf(tokenizer: Tokenizer, ids: readonly number[]): string[] {
  const stream = tokenizer.streamDecoder();
  const pieces = ids.map((id) => stream.push(id));
  const rest = stream.flush();
  if (rest !== "") pieces.push((pieces.pop() ?? "") + rest);
  return pieces;
}

function countsOf(text: string, ids: readonly number[]) {
  return { tokens: ids.length, characters: [...text].length, bytes: Buffer.byteLength(text) };
}

function textOf(tokenizer: Tokenizer, text: string, ids: readonly number[]): string {
  const { tokens, characters, bytes } = countsOf(text, ids);
  const width = Math.max(2, String(ids.reduce((a, b) => Math.max(a, b), 0)).length);
  const lines = ids.map((id) => `${String(id).padStart(width)}  ${shownPiece(tokenizer.tokenBytes(id))}\n`);
  return [
    ...(ids.length === 0 ? [] : [`${"id".padStart(width)}  piece\n`, ...lines, "\n"]),
    `${grouped(tokens)} tokens, ${grouped(characters)} characters, ${grouped(bytes)} bytes\n`,
  ].join("");
}

/** A JSON string; the bytes of a partial character in hexadecimal. */
function shownPiece(bytes: Uint8Array = new Uint8Array()): string {
  if (isUtf8(bytes)) return escapeControls(JSON.stringify(Buffer.from(bytes).toString("utf8")));
  return `bytes ${Buffer.from(bytes)
    .toString("hex")
    .replace(/..(?=.)/g, "$& ")}`;
}
