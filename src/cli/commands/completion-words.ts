import type { Argument, Command, Option } from "commander";
import { catalogue } from "../../hub/index.ts";

/** What to complete at a position of the command line. */
export type Completion =
  | { readonly kind: "words"; readonly words: readonly string[] }
  | { readonly kind: "file" }
  | { readonly kind: "folder" }
  /** A catalogue name, or a path. */
  | { readonly kind: "model"; readonly words: readonly string[] }
  /** Free text: nothing to complete. */
  | { readonly kind: "text" };

export interface OptionWords {
  /** As typed: "--quiet", "-q". */
  readonly names: readonly string[];
  readonly description: string;
  /** Undefined for an option without a value. */
  readonly value: Completion | undefined;
}

export interface CommandWords {
  readonly name: string;
  readonly description: string;
  readonly options: readonly OptionWords[];
  readonly arguments: readonly Completion[];
}

/** A program's options and commands, as shown in its help. */
export function wordsOf(program: Command): { readonly options: OptionWords[]; readonly commands: CommandWords[] } {
  const help = program.createHelp();
  const optionsOf = (command: Command) => help.visibleOptions(command).map(optionWords);
  const visible = help.visibleCommands(program);
  const names = visible.map((command) => command.name());
  const commands = visible.map((command) => ({
    name: command.name(),
    description: command.summary() || command.description(),
    options: optionsOf(command),
    arguments: command.registeredArguments.map((argument) => argumentCompletion(argument, names)),
  }));
  return { options: optionsOf(program), commands };
}

function optionWords({ long, short, description, flags, required, argChoices }: Option): OptionWords {
  const names = [long, short].filter((name) => name !== undefined && name !== null);
  return { names, description, value: required ? valueCompletion(flags, argChoices) : undefined };
}

/** From the name of the option's value in its help: <file>, <dir>. */
function valueCompletion(flags: string, choices: readonly string[] | undefined): Completion {
  if (choices !== undefined) return { kind: "words", words: choices };
  if (/<(file|path)/.test(flags)) return { kind: "file" };
  return { kind: /<dir/.test(flags) ? "folder" : "text" };
}

function argumentCompletion(argument: Argument, commands: readonly string[]): Completion {
  if (argument.argChoices !== undefined) return { kind: "words", words: argument.argChoices };
  switch (argument.name()) {
    case "command":
      return { kind: "words", words: commands };
    case "model":
    case "name":
      return { kind: "model", words: catalogue.map(({ name }) => name) };
    case "path":
      return { kind: "file" };
    default:
      return { kind: "text" };
  }
}
