import type { Argument, Command, Option } from "commander";
import { catalogue } from "../../hub/index.ts";

/** What can stand in a place of the command line. */
export type Place =
  | { readonly kind: "words"; readonly words: readonly string[] }
  | { readonly kind: "file" }
  | { readonly kind: "folder" }
  /** A name of the catalogue, or a path. */
  | { readonly kind: "model"; readonly words: readonly string[] }
  /** Anything: there is nothing to offer. */
  | { readonly kind: "text" };

export interface OptionWords {
  /** As typed: "--quiet", "-q". */
  readonly names: readonly string[];
  readonly description: string;
  /** Undefined: it takes no value. */
  readonly value: Place | undefined;
}

export interface CommandWords {
  readonly name: string;
  readonly description: string;
  readonly options: readonly OptionWords[];
  readonly arguments: readonly Place[];
}

/** What a program's help knows, for shells to complete: its own options, and its commands. */
export function wordsOf(program: Command): { readonly options: OptionWords[]; readonly commands: CommandWords[] } {
  const help = program.createHelp();
  const optionsOf = (command: Command) => help.visibleOptions(command).map(optionWords);
  const visible = help.visibleCommands(program);
  const names = visible.map((command) => command.name());
  const commands = visible.map((command) => ({
    name: command.name(),
    description: command.summary() || command.description(),
    options: optionsOf(command),
    arguments: command.registeredArguments.map((argument) => argumentPlace(argument, names)),
  }));
  return { options: optionsOf(program), commands };
}

function optionWords({ long, short, description, flags, required, argChoices }: Option): OptionWords {
  const names = [long, short].filter((name) => name !== undefined && name !== null);
  return { names, description, value: required ? valuePlace(flags, argChoices) : undefined };
}

/** By what the option's help calls its value: <file>, <dir>. */
function valuePlace(flags: string, choices: readonly string[] | undefined): Place {
  if (choices !== undefined) return { kind: "words", words: choices };
  if (/<(file|path)/.test(flags)) return { kind: "file" };
  return { kind: /<dir/.test(flags) ? "folder" : "text" };
}

function argumentPlace(argument: Argument, commands: readonly string[]): Place {
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
