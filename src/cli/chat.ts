import type { Command } from "commander";
import { IdlmError } from "../errors.ts";
import type { Model, Session } from "../index.ts";
import { addCommonOptions, type Cli, examples } from "./cli.ts";
import { addLoadOptions, addTextOptions, type LoadOptions, type TextOptions } from "./generation-options.ts";
import { withInterrupt } from "./interrupt.ts";
import { write } from "./io.ts";
import { lineReader } from "./line-reader.ts";
import { loadModel, textRequest } from "./requests.ts";
import { colorsFor } from "./style.ts";

interface ChatOptions extends LoadOptions, TextOptions {
  readonly system?: string;
  readonly json?: boolean;
}

const commands = `/help   this list
/reset  forget the conversation
/exit   leave (also Ctrl-D, and Ctrl-C at the prompt)
`;

/** `idlm chat`: a conversation. */
export function registerChat(program: Command, cli: Cli): void {
  const command = addCommonOptions(program.command("chat"))
    .summary("talk with a model")
    .description(
      "A conversation of several turns, typed or piped in, a line each. What was read stays in the KV cache between the\n" +
        "turns. When the context is full, the oldest turns are dropped, and the program says so.",
    )
    .argument("<model>", "a catalogue name (fetched if need be), a GGUF file or a Hugging Face folder")
    .option("--system <text>", "a system message to begin with");
  addLoadOptions(addTextOptions(command))
    .option("--json", "print one JSON object per answer, a line each, and nothing else")
    .addHelpText("after", `\nCommands:\n${commands.replaceAll(/^(?=.)/gm, "  ")}${examples("idlm chat smollm2-135m-instruct", "idlm chat model.gguf --temperature 0.7 --seed 1", "idlm chat model.gguf --json < questions.txt")}`)
    .action(async (name: string, options: ChatOptions) => {
      await chat(cli, name, options);
    });
}

async function chat(cli: Cli, name: string, options: ChatOptions): Promise<void> {}
