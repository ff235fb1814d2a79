import { Argument, type Command } from "commander";
import { addCommonOptions, type Cli, examples } from "../cli.ts";
import { completionScript, type Shell, shells } from "./completion-scripts.ts";
import { wordsOf } from "./completion-words.ts";

/** `idlm completion`: what a shell needs to complete this command line. */
export function registerCompletion(program: Command, cli: Cli): void {
  addCommonOptions(program.command("completion"))
    .summary("print a script that makes a shell complete idlm")
    .description(
      "Prints a script that makes a shell complete commands, options, their values, files and the names of models. It is " +
        "made from the command line itself: what --help lists is what is completed.",
    )
    .addArgument(new Argument("<shell>", "which shell").choices(shells))
    .addHelpText(
      "after",
      examples(
        "source <(idlm completion bash)    # in ~/.bashrc",
        "source <(idlm completion zsh)     # in ~/.zshrc, behind compinit",
        "idlm completion fish > ~/.config/fish/completions/idlm.fish",
      ),
    )
    .action((shell: Shell) => {
      cli.io.stdout.write(completionScript(shell, wordsOf(program)));
    });
}
