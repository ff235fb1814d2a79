import { type Command, Option } from "commander";
import { chatLogprobs } from "../../apis/openai/logprobs.ts";
import { MAX_LOGPROBS } from "../../compute/sampling/settings.ts";
import { MAX_CHOICES } from "../../engine/limits.ts";
import { IdlmError } from "../../errors.ts";
import { readJson } from "../../formats/files/json.ts";
import type { GenerationResult, GrammarRequest, Model } from "../../index.ts";
import { addCommonOptions, type Cli, examples, printJson } from "../cli.ts";
import { addLoadOptions, addTextOptions, type LoadOptions, type TextOptions } from "../options/generation-options.ts";
import { readMessagesFile } from "../options/messages-file.ts";
import { integer } from "../options/numbers.ts";
import { MAX_TEXT_BYTES, readText, readTextFile } from "../options/read-text.ts";
import { loadModel, textRequest } from "../options/requests.ts";
import { INTERRUPTED, withInterrupt } from "../terminal/interrupt.ts";
import { write } from "../terminal/io.ts";
import { notesOf, warningsOf } from "../terminal/notices.ts";
import { speedOf } from "../terminal/race-table.ts";
import { colorsFor } from "../terminal/style.ts";

interface RunOptions extends LoadOptions, TextOptions {
  readonly messages?: string;
  readonly logprobs?: number;
  readonly n: number;
  readonly predict?: string;
  readonly jsonSchema?: string;
  readonly grammar?: string;
  readonly raw?: boolean;
  readonly json?: boolean;
}

/** `idlm run`: generates an answer to a prompt. */
export function registerRun(program: Command, cli: Cli): void {
  const command = addCommonOptions(program.command("run"))
    .summary("generate an answer")
    .description(
      "Generates one answer. In exact mode, the default, the same command gives the same bytes on every machine, with any " +
        "stride and any number of threads.",
    )
    .argument(
      "<model>",
      "a catalogue name or ORG/REPO[:FILE] (downloaded if necessary), a GGUF file or a Hugging Face folder",
    )
    .argument("[prompt]", "the user's message; - reads it from standard input")
    .option(
      "--messages <file>",
      'JSON file with a conversation instead of a prompt: [{"role": "user", "content": "…"}]',
    )
    .option("--raw", "pass the prompt to the model as it is, without a chat template");
  addLoadOptions(addTextOptions(command))
    .option(
      "--logprobs <n>",
      "report log-probabilities of the sampled token and the n most likely ones (with --json)",
      integer({ min: 0, max: MAX_LOGPROBS }),
    )
    .option(
      "--n <n>",
      "completions to generate, each with its own random numbers",
      integer({ min: 1, max: MAX_CHOICES }),
      1,
    )
    .option("--predict <file>", "predicted output: a text that the output probably repeats in large part")
    .addOption(new Option("--json-schema <file>", "JSON schema that the answer has to follow").conflicts("grammar"))
    .option("--grammar <file>", "EBNF, as llama.cpp has it (GBNF), that the answer has to follow")
    .option("--json", "print only text and statistics, as JSON")
    .addHelpText(
      "after",
      examples(
        'idlm run smollm2-135m-instruct "What is a forest?"',
        "cat question.txt | idlm run model.gguf - --temperature 0.7 --seed 42",
        "idlm run model.gguf --messages conversation.json --max-tokens 200 --json",
        'idlm run model.gguf "Once upon a time" --raw --propose none',
      ),
    )
    .action(async (name: string, prompt: string | undefined, options: RunOptions) => {
      cli.status = await withInterrupt(cli.io, (signal) => run(cli, name, prompt, options, signal));
    });
}

function readGrammar({ jsonSchema, grammar }: RunOptions): GrammarRequest | undefined {
  if (grammar !== undefined) {
    return { kind: "ebnf", grammar: readTextFile(grammar, "--grammar names a text file.") };
  }
  if (jsonSchema === undefined) return undefined;
  return {
    kind: "schema",
    schema: readJson(jsonSchema, { maxBytes: MAX_TEXT_BYTES }, "--json-schema names a JSON file."),
  };
}

async function run(
  cli: Cli,
  name: string,
  prompt: string | undefined,
  options: RunOptions,
  signal: AbortSignal,
): Promise<number> {
  const { io } = cli;
  // The request is validated before the model is loaded.
  const conversation = await readConversation(cli, prompt, options, signal);
  const predict =
    options.predict === undefined ? undefined : readTextFile(options.predict, "--predict names a text file.");
  const { logprobs, n } = options;
  const grammar = readGrammar(options);
  const request = { ...textRequest(options), ...conversation, logprobs, n, predict, grammar, signal };
  for (const line of [...warningsOf(options, predict), ...notesOf(options)]) io.notices.write(line);
  const model = await loadModel(io, name, options, signal);
  try {
    const generation = model.generate(request);
    // Of several completions, the first is streamed.
    let text = "";
    for await (const part of generation) {
      if ((part.choice ?? 0) > 0) continue;
      text += part.text;
      if (!options.json) await write(io.stdout, part.text);
    }
    const result = await generation.result;
    if (options.json) printJson(cli, jsonOf(result, model.tokenizer));
    else {
      if (!text.endsWith("\n")) io.stdout.write("\n");
      for (const { index, text: other } of result.choices?.slice(1) ?? []) {
        await write(io.stdout, `--- ${index + 1} of ${n} ---\n${other}${other.endsWith("\n") ? "" : "\n"}`);
      }
      if (io.notices.isTTY === true || io.isVerbose) io.notices.write(colorsFor(io, io.notices).dim(summary(result)));
    }
    return signal.aborted ? INTERRUPTED : 0;
  } finally {
    await model.dispose();
  }
}

async function readConversation(cli: Cli, prompt: string | undefined, options: RunOptions, signal: AbortSignal) {
  if (options.messages !== undefined) {
    if (prompt !== undefined) throw usage("a prompt and --messages were both given", "Leave out one of them");
    if (options.raw)
      throw usage("--raw and --messages were both given", "Messages always go through the chat template");
    return { messages: readMessagesFile(options.messages) };
  }
  if (prompt === undefined)
    throw usage("no prompt was given", "Give a prompt, - for standard input, or --messages FILE");
  const text = prompt === "-" ? await readText(cli.io.stdin, signal) : prompt;
  // `echo question | idlm run model -` sends the question without the line break.
  if (!options.raw)
    return { messages: [{ role: "user" as const, content: prompt === "-" ? text.replace(/\r?\n$/, "") : text }] };
  return { prompt: text };
}

/** The keys that scripts rely on come first. */
const firstKeys = [
  "text",
  "tokens",
  "sha256",
  "finishReason",
  "forwards",
  "tokensPerForward",
  "acceptanceByDepth",
  "prefillMs",
  "decodeMs",
  "instructionSet",
  "threads",
  "numerics",
] as const satisfies readonly (keyof GenerationResult)[];

/** Log-probabilities are in the format of the OpenAI API. */
function jsonOf(result: GenerationResult, tokenizer: Model["tokenizer"]) {
  const { logprobs, choices, ...rest } = result;
  const shown = (own: GenerationResult["logprobs"]) =>
    own === undefined ? {} : { logprobs: chatLogprobs(own, tokenizer) };
  return {
    ...Object.fromEntries(firstKeys.map((key) => [key, rest[key]])),
    ...rest,
    ...shown(logprobs),
    ...(choices === undefined
      ? {}
      : { choices: choices.map(({ logprobs: own, ...choice }) => ({ ...choice, ...shown(own) })) }),
  };
}

function summary(result: GenerationResult): string {
  const { tokens, promptTokens, forwards, tokensPerForward, acceptanceByDepth, prefillMs, decodeMs, finishReason } =
    result;
  const depths = acceptanceByDepth.map((share) => share.toFixed(2)).join("/");
  return [
    `${promptTokens} prompt tokens in ${prefillMs.toFixed(0)} ms`,
    `${tokens.length} tokens in ${decodeMs.toFixed(0)} ms (${speedOf(result).toFixed(1)}/s)`,
    `${forwards} forwards, ${tokensPerForward.toFixed(2)} tokens each${depths === "" ? "" : `, acceptance by depth ${depths}`}`,
    `ended by ${finishReason}\n`,
  ].join("; ");
}

function usage(problem: string, hint: string): IdlmError {
  return new IdlmError("usage", { problem, hint: `${hint}.` });
}
