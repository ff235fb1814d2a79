import type { Command } from "commander";
import type { CliIo } from "./io.ts";

/** What commands share with the code that runs them. */
export interface Cli {
  readonly io: CliIo;
  /** Exit status of the process; a command that neither throws nor sets it ends with 0. */
  status: number;
}

/** Adds a command to the program. */
export type Register = (program: Command, cli: Cli) => void;

/** Options that every command has. */
export function addCommonOptions(command: Command): Command {
  return command.option("--debug", "show the stack of an error").helpOption("-h, --help", "show this help");
}

/** The help text's last part: one example a line. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join("\n")}\n`;
}

/** The one JSON document that `--json` promises on stdout. */
export function printJson(cli: Cli, value: unknown): void {
  cli.io.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}
