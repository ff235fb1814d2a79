import type { Command } from "commander";
import { IdlmError, type KeyNames } from "../../errors.ts";
import type { ChatMessage, GenerateRequest, Generation, GenerationResult, Model } from "../../index.ts";
import { addCommonOptions, type Cli, examples } from "../cli.ts";
import { flagNames } from "../options/flag-names.ts";
import { addLoadOptions, addTextOptions, type LoadOptions, type TextOptions } from "../options/generation-options.ts";
import { loadModel, textRequest } from "../options/requests.ts";
import { withInterrupt } from "../terminal/interrupt.ts";
import { type CliIo, write } from "../terminal/io.ts";
import { lineReader } from "../terminal/line-reader.ts";
import { notesOf, warningsOf } from "../terminal/notices.ts";
import { speedOf } from "../terminal/race-table.ts";
import { colorsFor } from "../terminal/style.ts";

interface ChatOptions extends LoadOptions, TextOptions {
  readonly system?: string;
  readonly json?: boolean;
}

const commands = `/help   show this list
/reset  start a new conversation
/exit   exit (also Ctrl-D, or Ctrl-C at the prompt)
`;

/** `idlm chat`: a conversation. */
export function registerChat(program: Command, cli: Cli): void {
  const command = addCommonOptions(program.command("chat"))
    .summary("chat with a model")
    .description(
      "A conversation with several turns, typed or piped in, one line per message. Earlier turns stay in the KV cache. " +
        "When the context is full, the oldest turns are dropped, with a message.",
    )
    .argument(
      "<model>",
      "a catalogue name or ORG/REPO[:FILE] (downloaded if necessary), a GGUF file or a Hugging Face folder",
    )
    .option("--system <text>", "system message");
  addLoadOptions(addTextOptions(command))
    .option("--json", "print only one JSON object per answer, one per line")
    .addHelpText(
      "after",
      `\nCommands:\n${commands.replaceAll(/^(?=.)/gm, "  ")}${examples("idlm chat smollm2-135m-instruct", "idlm chat model.gguf --temperature 0.7 --seed 1", "idlm chat model.gguf --json < questions.txt")}`,
    )
    .action(async (name: string, options: ChatOptions, command: Command) => {
      await chat(cli, name, options, flagNames(command));
    });
}

async function chat(cli: Cli, name: string, options: ChatOptions, flags: KeyNames): Promise<void> {
  const { io } = cli;
  if (options.propose === "predicted") {
    const problem = "--propose predicted needs a predicted text, which a conversation does not have";
    throw new IdlmError("usage", { problem, hint: "Choose another proposer." });
  }
  const settings = textRequest(options);
  for (const line of [...warningsOf(options), ...notesOf(options)]) io.notices.write(line);
  const model = await withInterrupt(io, (signal) => loadModel(io, name, options, signal));
  try {
    await converse(cli, model, settings, options, flags);
  } finally {
    await model.dispose();
  }
}

async function converse(
  cli: Cli,
  model: Model,
  settings: GenerateRequest,
  options: ChatOptions,
  flags: KeyNames,
): Promise<void> {
  const { io } = cli;
  const reader = lineReader(io);
  const session = model.session();
  const opening: ChatMessage[] = options.system === undefined ? [] : [{ role: "system", content: options.system }];
  let turns: ChatMessage[] = [];
  if (io.stdin.isTTY === true && !options.json) io.stdout.write("/help lists the commands.\n");
  try {
    for (let line = await reader.next("> "); line !== undefined; line = await reader.next("> ")) {
      const word = line.trim();
      if (word === "") continue;
      if (word === "/exit") break;
      if (word === "/reset") turns = [];
      else if (word === "/help") io.stderr.write(commands);
      else if (/^\/[a-z]+$/.test(word)) io.stderr.write(`Unknown command ${word}; /help lists the commands.\n`);
      else {
        try {
          const asked = await makeRoom(io, model, opening, [...turns, { role: "user", content: line }], options);
          const request = { ...settings, messages: [...opening, ...asked] };
          const result = await withInterrupt(io, (signal) =>
            answer(cli, session.generate({ ...request, signal }), model, options),
          );
          turns = [...asked, { role: "assistant", content: result.text }];
        } catch (error) {
          // A single turn that is too long does not end the conversation.
          if (!(error instanceof IdlmError) || error.code !== "context-too-long") throw error;
          io.stderr.write(`${error.messageWith(flags)} The conversation continues without it.\n`);
          cli.status = error.exitStatus;
        }
      }
    }
  } finally {
    await session.dispose();
  }
}

/** Share of the context that is kept free for the answer, if --max-tokens does not limit it. */
const ANSWER_SHARE = 1 / 4;

/** Drops the oldest turns, with a message, until the conversation and an answer fit. Keeps a single turn in any case. */
async function makeRoom(
  io: CliIo,
  model: Model,
  opening: readonly ChatMessage[],
  turns: readonly ChatMessage[],
  options: ChatOptions,
): Promise<ChatMessage[]> {
  const { contextLength } = model.info;
  const forAnswer = Math.min(options.maxTokens ?? Number.POSITIVE_INFINITY, Math.floor(contextLength * ANSWER_SHARE));
  let kept = [...turns];
  let nTokens = await count(kept);
  while (kept.length > 1 && nTokens + forAnswer > contextLength) {
    kept = kept.slice(2);
    nTokens = await count(kept);
  }
  const dropped = (turns.length - kept.length) / 2;
  if (dropped > 0) {
    const turn = dropped === 1 ? "turn was" : `${dropped} turns were`;
    io.notices.write(`The context of ${contextLength} tokens is full: the oldest ${turn} dropped.\n`);
  }
  return kept;

  async function count(messages: readonly ChatMessage[]): Promise<number> {
    return (await model.tokenizer?.encodeChat([...opening, ...messages]))?.length ?? 0;
  }
}

async function answer(cli: Cli, generation: Generation, model: Model, options: ChatOptions): Promise<GenerationResult> {
  const { io } = cli;
  let text = "";
  for await (const part of generation) {
    text += part.text;
    if (!options.json) await write(io.stdout, part.text);
  }
  const result = await generation.result;
  const { tokens, promptTokens, cachedTokens, tokensPerForward, finishReason } = result;
  if (options.json) io.stdout.write(`${JSON.stringify(result)}\n`);
  else if (!text.endsWith("\n")) io.stdout.write("\n");
  if (finishReason === "length" && tokens.length !== options.maxTokens) {
    io.notices.write(`The context of ${model.info.contextLength} tokens is full: the answer was truncated.\n`);
  }
  if ((io.notices.isTTY === true || io.isVerbose) && !options.json) {
    const speed = `${tokens.length} tokens, ${speedOf(result).toFixed(1)}/s, ${tokensPerForward.toFixed(2)} per forward`;
    io.notices.write(
      `${colorsFor(io, io.notices).dim(`[${speed}; ${cachedTokens} of ${promptTokens} prompt tokens cached]`)}\n`,
    );
  }
  return result;
}
