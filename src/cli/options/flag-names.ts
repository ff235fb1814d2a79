import type { Command } from "commander";
import type { KeyNames } from "../../errors.ts";

/** Options that are named differently from the library's keys. */
const renamed: Readonly<Record<string, string>> = {
  // A conversation is the key `messages`; the prompt is the key `prompt` only with --raw.
  prompt: "raw",
  output: "out",
  "grammar.schema": "jsonSchema",
  "grammar.grammar": "grammar",
};

/**
 * Flags of a command by the keys of requests, of `load` and of `runBatch` that they set, for error messages. Keys
 * without a flag have the library's name.
 */
export function flagNames(command: Command): KeyNames {
  const flags = new Map(command.options.map((option) => [option.attributeName(), flagText(option)]));
  const names = Object.fromEntries(flags);
  for (const [key, attribute] of Object.entries(renamed)) {
    const flag = flags.get(attribute);
    if (flag !== undefined) names[key] = flag;
  }
  return names;
}

/** The flag of a key: "--draft-model" for "draftModel". */
export function optionFlag(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** "--stride"; with a file, folder or model "--adapter DIR". */
function flagText({ long, flags }: Command["options"][number]): string {
  const [value] = /<(?:file|dir|model)>/.exec(flags) ?? [];
  return value === undefined ? (long ?? flags) : `${long} ${value.slice(1, -1).toUpperCase()}`;
}
