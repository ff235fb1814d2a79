import { writeFileSync } from "node:fs";
import { type Command, Option } from "commander";
import { writeError } from "../formats/files/file-error.ts";
import { type CliIo, nowhere } from "./terminal/io.ts";

/** What commands share with the code that runs them. */
export interface Cli {
  /** With what --quiet and --verbose ask for, from when the command's action runs. */
  io: CliIo;
  /** Exit status of the process; a command that neither throws nor sets it ends with 0. */
  status: number;
}

/** Adds a command to the program. */
export type Register = (program: Command, cli: Cli) => void;

/** Options that every command has. */
export function addCommonOptions(command: Command): Command {
  return command
    .addOption(
      new Option("-q, --quiet", "print errors only on standard error: no progress, figures, warnings").conflicts(
        "verbose",
      ),
    )
    .option("-v, --verbose", "print more on standard error: what was loaded; figures and progress into files, too")
    .option("--debug", "show the stack of an error")
    .helpOption("-h, --help", "show this help");
}

/** Names of these options, for whoever lists what a command has beside them. */
export const commonOptions: readonly string[] = ["--quiet", "--verbose", "--debug", "--help"];

/** Does as the common options of a command (or before it) say. */
export function applyCommonOptions(cli: Cli, command: Command): void {
  const { quiet, verbose } = command.optsWithGlobals<{ readonly quiet?: boolean; readonly verbose?: boolean }>();
  cli.io = { ...cli.io, notices: quiet ? nowhere : cli.io.notices, isVerbose: verbose === true };
}

/** The help text's last part: one example a line. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join("\n")}\n`;
}

/** The one JSON document that `--json` promises on stdout. */
export function printJson(cli: Cli, value: unknown): void {
  cli.io.stdout.write(jsonText(value));
}

/** The same document in a file. @throws IdlmError "file-unwritable". */
export function writeJson(path: string, value: unknown): void {
  try {
    writeFileSync(path, jsonText(value));
  } catch (error) {
    throw writeError(path, error);
  }
}

function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
