import { Argument, type Command } from "commander";
import { addCommonOptions, type Cli, examples } from "../cli.ts";
import { completionScript, type Shell, shells } from "./completion-scripts.ts";
import { wordsOf } from "./completion-words.ts";

/** `idlm completion`: prints a shell completion script. */
export function registerCompletion(program: Command, cli: Cli): void {
  addCommonOptions(program.command("completion"))
    .summary("print a shell completion script")
    .description(
      "Prints a completion script for a shell: commands, options, their values, files and model names, generated from the " +
        "command line's own definition.",
    )
    .addArgument(new Argument("<shell>", "the shell").choices(shells))
    .addHelpText(
      "after",
      examples(
        "source <(idlm completion bash)    # in ~/.bashrc",
        "source <(idlm completion zsh)     # in ~/.zshrc, after compinit",
        "idlm completion fish > ~/.config/fish/completions/idlm.fish",
      ),
    )
    .action((shell: Shell) => {
      cli.io.stdout.write(completionScript(shell, wordsOf(program)));
    });
}
