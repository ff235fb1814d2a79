import type { CommandWords, Completion, OptionWords } from "./completion-words.ts";

export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

interface Words {
  readonly options: readonly OptionWords[];
  readonly commands: readonly CommandWords[];
}

/** The completion script for a shell. */
export function completionScript(shell: Shell, words: Words): string {
  return { bash, zsh, fish }[shell](words);
}

/** Single-quoted for bash and zsh, in which a backslash is literal. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** The first clause of a help text, short enough for a list. */
function brief({ description }: { readonly description: string }): string {
  return (description.split(/[;(]| - /)[0] ?? "").trim();
}

const indent = (lines: readonly string[], depth: number) =>
  lines.map((line) => `${"  ".repeat(depth)}${line}\n`).join("");

function bash({ options, commands }: Words): string {
  const offer = (place: Completion): string => {
    switch (place.kind) {
      case "words":
        return `_idlm_words ${quoted(place.words.join("\n"))}`;
      case "model":
        return `_idlm_files -f ${quoted(place.words.join("\n"))}`;
      case "file":
        return "_idlm_files -f ''";
      case "folder":
        return "_idlm_files -d ''";
      case "text":
        return ":";
    }
  };
  const named = (list: readonly OptionWords[]) => quoted(list.flatMap(({ names }) => names).join("\n"));
  const values = commands.flatMap((command) =>
    command.options.flatMap(({ names, value }) =>
      value === undefined
        ? []
        : [`${names.map((name) => `${command.name},${name}`).join(" | ")}) ${offer(value)}; return ;;`],
    ),
  );
  const places = commands.flatMap((command) =>
    command.arguments.map((place, i) => `${command.name},${i}) ${offer(place)} ;;`),
  );
  return `# Completion of idlm for bash (3.2 or later). In ~/.bashrc: source <(idlm completion bash)
_idlm_words() {
  local IFS=$'\\n'
  COMPREPLY=($(compgen -W "$1" -- "$cur"))
}

_idlm_files() {
  local IFS=$'\\n'
  compopt -o filenames 2>/dev/null
  COMPREPLY=($(compgen -W "$2" -- "$cur") $(compgen "$1" -- "$cur"))
}

_idlm() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} command='' place=0 i word
  COMPREPLY=()
  # --option=value is split into three words.
  if [[ $cur == = ]]; then cur=''; elif [[ $prev == = ]]; then prev=\${COMP_WORDS[COMP_CWORD - 2]}; fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ $word == -?* || $word == = ]]; then continue; fi
    if [[ -z $command ]]; then
      command=$word
      continue
    fi
    # The value of an option is not an argument.
    case $command,\${COMP_WORDS[i - 1]} in
      *,=) ;;
${indent(
  commands.flatMap((command) => {
    const taking = command.options.filter(({ value }) => value !== undefined).flatMap(({ names }) => names);
    return taking.length === 0 ? [] : [`${taking.map((name) => `${command.name},${name}`).join(" | ")}) ;;`];
  }),
  3,
)}      *) place=$((place + 1)) ;;
    esac
  done
  case $command,$prev in
${indent(values, 2)}  esac
  if [[ $cur == -* ]]; then
    case $command in
      '') _idlm_words ${named(options)} ;;
${indent(
  commands.map((command) => `${command.name}) _idlm_words ${named(command.options)} ;;`),
  3,
)}    esac
    return
  fi
  if [[ -z $command ]]; then
    _idlm_words ${quoted(commands.map(({ name }) => name).join("\n"))}
    return
  fi
  case $command,$place in
${indent(places, 2)}  esac
}

complete -F _idlm idlm
`;
}

function zsh({ options, commands }: Words): string {
  /** Brackets and colons have a meaning in a specification of _arguments. */
  const plain = (text: string) => text.replace(/[[\]:\\]/g, "\\$&");
  const action = (place: Completion): string => {
    switch (place.kind) {
      case "words":
        return `(${place.words.join(" ")})`;
      case "model":
        return `_alternative "models\\:model\\:(${place.words.join(" ")})" "files\\:file\\:_files"`;
      case "file":
        return "_files";
      case "folder":
        return "_files -/";
      case "text":
        return " ";
    }
  };
  const specs = (list: readonly OptionWords[]) =>
    list.flatMap((option) =>
      option.names.map((name) => {
        const value = option.value === undefined ? "" : `:value:${action(option.value)}`;
        return quoted(`${name}[${plain(brief(option))}]${value}`);
      }),
    );
  const cases = commands.flatMap((command) => [
    `${command.name})`,
    `  _arguments -s ${[...specs(command.options), ...command.arguments.map((place, i) => quoted(`${i + 1}:argument:${action(place)}`))].join(" \\\n        ")}`,
    "  ;;",
  ]);
  return `#compdef idlm
# Completion of idlm for zsh. In ~/.zshrc, after compinit: source <(idlm completion zsh)
_idlm() {
  local context state state_descr line
  typeset -A opt_args
  _arguments -C ${specs(options).join(" \\\n    ")} \\
    '1:command:->command' '*::argument:->argument'
  case $state in
    command)
      local -a commands
      commands=(
${indent(
  commands.map((command) => quoted(`${command.name}:${plain(brief(command))}`)),
  4,
)}      )
      _describe command commands
      ;;
    argument)
      case $words[1] in
${indent(cases, 4)}      esac
      ;;
  esac
}

if [ "$funcstack[1]" = "_idlm" ]; then _idlm "$@"; else compdef _idlm idlm; fi
`;
}

/** Single-quoted for fish, in which a backslash escapes. */
function fishQuoted(text: string): string {
  return `'${text.replace(/[\\']/g, "\\$&")}'`;
}

function fish({ options, commands }: Words): string {
  const line = (condition: string, rest: string) => `complete -c idlm -n ${fishQuoted(condition)} ${rest}`;
  const value = (place: Completion | undefined): string => {
    if (place === undefined) return "";
    if (place.kind === "words") return ` -x -a ${fishQuoted(place.words.join(" "))}`;
    if (place.kind === "folder") return " -x -a '(__fish_complete_directories)'";
    return place.kind === "text" ? " -x" : " -r -F";
  };
  const optionLines = (condition: string, list: readonly OptionWords[]) =>
    list.map((option) => {
      const names = option.names.map((name) => (name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
      return line(condition, `${names.join(" ")} -d ${fishQuoted(brief(option))}${value(option.value)}`);
    });
  const argumentLines = (condition: string, places: readonly Completion[]) =>
    places.flatMap((place) => {
      if (place.kind === "words") return [line(condition, `-a ${fishQuoted(place.words.join(" "))}`)];
      if (place.kind === "model") return [line(condition, `-F -a ${fishQuoted(place.words.join(" "))}`)];
      return place.kind === "text" ? [] : [line(condition, "-F")];
    });
  const lines = [
    "# Completion of idlm for fish: idlm completion fish > ~/.config/fish/completions/idlm.fish",
    "complete -c idlm -f",
    ...optionLines("__fish_use_subcommand", options),
    ...commands.map((command) =>
      line("__fish_use_subcommand", `-a ${fishQuoted(command.name)} -d ${fishQuoted(brief(command))}`),
    ),
    ...commands.flatMap((command) => {
      const condition = `__fish_seen_subcommand_from ${command.name}`;
      return [...optionLines(condition, command.options), ...argumentLines(condition, command.arguments)];
    }),
  ];
  return `${lines.join("\n")}\n`;
}
