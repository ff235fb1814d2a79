import { type Command, Option } from "commander";
import { writeOutput } from "../formats/files/write-output.ts";
import { type CliIo, nowhere } from "./terminal/io.ts";

/** Shared by all commands and the code that runs them. */
export interface Cli {
  /** With --quiet and --verbose applied, once the command's action runs. */
  io: CliIo;
  /** Exit status of the process; 0 unless a command throws or sets it. */
  status: number;
}

/** Adds a command to the program. */
export type Register = (program: Command, cli: Cli) => void;

/** Adds the options that every command has. */
export function addCommonOptions(command: Command): Command {
  return command
    .addOption(
      new Option("-q, --quiet", "print only errors on standard error: no progress, statistics or warnings").conflicts(
        "verbose",
      ),
    )
    .option("-v, --verbose", "print more on standard error: what was loaded; statistics and progress into files, too")
    .option("--debug", "show the stack of an error")
    .helpOption("-h, --help", "show this help");
}

/** Names of these options. */
export const commonOptions: readonly string[] = ["--quiet", "--verbose", "--debug", "--help"];

/** Applies the common options, given after or before the command's name. */
export function applyCommonOptions(cli: Cli, command: Command): void {
  const { quiet, verbose } = command.optsWithGlobals<{ readonly quiet?: boolean; readonly verbose?: boolean }>();
  cli.io = { ...cli.io, notices: quiet ? nowhere : cli.io.notices, isVerbose: verbose === true };
}

/** The last part of a help text: one example per line. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join("\n")}\n`;
}

/** Prints the JSON document of `--json` to stdout. */
export function printJson(cli: Cli, value: unknown): void {
  cli.io.stdout.write(jsonText(value));
}

/** Writes the same document to a file. @throws IdlmError "file-unwritable". */
export function writeJson(path: string, value: unknown): void {
  writeOutput(path, [Buffer.from(jsonText(value))]);
}

function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
