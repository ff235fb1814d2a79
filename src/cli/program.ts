import { Command, CommanderError } from "commander";
import packageJson from "../../package.json" with { type: "json" };
import { errorCatalogue, IdlmError } from "../errors.ts";
import { isClosedPipe } from "../formats/files/file-error.ts";
import { addCommonOptions, applyCommonOptions, type Cli, examples, type Register } from "./cli.ts";
import { registerBatch } from "./commands/batch.ts";
import { registerBench } from "./commands/bench.ts";
import { registerChat } from "./commands/chat.ts";
import { registerCompletion } from "./commands/completion.ts";
import { registerConvert } from "./commands/convert.ts";
import { registerDoctor } from "./commands/doctor.ts";
import { registerForward } from "./commands/forward.ts";
import { registerGradients } from "./commands/gradients.ts";
import { registerInspect } from "./commands/inspect.ts";
import { registerList } from "./commands/list.ts";
import { registerMake } from "./commands/make.ts";
import { registerPlay } from "./commands/play.ts";
import { registerPull } from "./commands/pull.ts";
import { registerRace } from "./commands/race.ts";
import { registerRemove } from "./commands/remove.ts";
import { registerRun } from "./commands/run.ts";
import { registerScore } from "./commands/score.ts";
import { registerServe } from "./commands/serve.ts";
import { registerTokenize } from "./commands/tokenize.ts";
import { registerTrain } from "./commands/train.ts";
import { registerWrite } from "./commands/write.ts";
import { flagNames } from "./options/flag-names.ts";
import { INTERRUPTED, isAbort } from "./terminal/interrupt.ts";
import type { CliIo } from "./terminal/io.ts";
import { colorsFor } from "./terminal/style.ts";

/** In the order of --help: generating text, adapters, models, measuring, the rest. */
const commands: readonly Register[] = [
  registerRace,
  registerRun,
  registerChat,
  registerPlay,
  registerServe,
  registerBatch,
  registerMake,
  registerWrite,
  registerTrain,
  registerConvert,
  registerPull,
  registerList,
  registerRemove,
  registerInspect,
  registerTokenize,
  registerScore,
  registerDoctor,
  registerBench,
  registerForward,
  registerGradients,
  registerCompletion,
];

/** Exit status of an error that is not in the catalogue: a bug. */
const UNEXPECTED = 1;

const exitStatusHelp = `
Exit status:
    0  success (also if the reader of a pipe closed it early)
  ${String(UNEXPECTED).padStart(3)}  unexpected error; please report it with the output of --debug
    2  invalid command line or request
    3  a file is missing, malformed or not supported
    4  two things do not match (adapter and model, stride and adapter)
    5  not enough memory, or the context is too short
    6  a download failed, or the cache is in use or not writable
    7  a computation failed, or two outputs that must be equal differ
  ${INTERRUPTED}  stopped by Ctrl-C or SIGTERM
`;

/** Runs one command line (without node and script) and returns the exit status. Never throws. */
export async function runCli(argv: readonly string[], io: CliIo): Promise<number> {
  const cli: Cli = { io, status: 0 };
  const program = buildProgram(cli);
  // The command that runs, or whose command line is invalid.
  let current = program;
  program.hook("preAction", (_, command) => {
    current = command;
  });
  for (const command of withSubcommands(program)) {
    command.exitOverride((error) => {
      current = command;
      throw error;
    });
  }
  try {
    await program.parseAsync([...argv], { from: "user" });
    return cli.status;
  } catch (error) {
    return report(error, io, argv.includes("--debug"), current);
  }
}

function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)];
}

/** The full name: idlm bench decode. */
function nameOf(command: Command): string {
  return command.parent === null ? command.name() : `${nameOf(command.parent)} ${command.name()}`;
}

function buildProgram(cli: Cli): Command {
  const { io } = cli;
  const program = new Command("idlm")
    .description(packageJson.description)
    .version(packageJson.version, "-V, --version", "show the version")
    .enablePositionalOptions()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      // `report` prints all errors in the same form.
      outputError: () => {},
      getOutHelpWidth: () => io.stdout.columns || 100,
      getErrHelpWidth: () => io.stderr.columns || 100,
      getOutHasColors: () => colorsFor(io, io.stdout).isColorSupported,
      getErrHasColors: () => colorsFor(io, io.stderr).isColorSupported,
    })
    .helpCommand("help [command]", "show the help of a command")
    .hook("preAction", (_, command) => applyCommonOptions(cli, command));
  addCommonOptions(program);
  for (const register of commands) register(program, cli);
  return program.addHelpText(
    "after",
    examples("idlm race", 'idlm run smollm2-135m-instruct "What is a forest?"', "idlm doctor --json") + exitStatusHelp,
  );
}

/** Prints an error of a command as one line on stderr and returns its exit status. */
function report(error: unknown, io: CliIo, debug: boolean, command: Command): number {
  const print = (message: string, hint = "") => {
    io.stderr.write(`${colorsFor(io, io.stderr).red("error:")} ${message}\n${hint}`);
    if (debug && error instanceof Error) io.stderr.write(`${stackOf(error)}\n`);
  };
  if (error instanceof CommanderError) {
    // Help and version are a success; help because of a missing command is an error.
    if (error.exitCode === 0) return 0;
    if (error.code !== "commander.help") {
      print(
        error.message.replace(/^error: /, "").replace(/\n\(?(Did you mean .*?)\)?$/, " ($1)"),
        `See ${nameOf(command)} --help.\n`,
      );
    }
    return errorCatalogue.usage.exit;
  }
  if (isAbort(error)) return INTERRUPTED;
  if (isClosedPipe(error)) {
    // `idlm batch … --out /dev/stdout | head -1` is as good as `idlm run … | head -1`.
    io.notices.write(`note: ${(error as IdlmError).message}\n`);
    return 0;
  }
  if (error instanceof IdlmError) {
    print(error.messageWith(flagNames(command)));
    return error.exitStatus;
  }
  print(
    `unexpected: ${error instanceof Error ? error.message : String(error)}`,
    debug ? "" : "--debug shows its stack.\n",
  );
  return UNEXPECTED;
}

function stackOf(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by ${stackOf(error.cause)}` : "";
  return `${error.stack ?? error.message}${cause}`;
}
