import { anyCharacter, charactersIn, complementOf } from "./characters.ts";
import {
  characters,
  choice,
  empty,
  type Expression,
  type Grammar,
  repeat,
  rule,
  sequence,
  text,
} from "./expression.ts";
import { grammarProblem } from "./problem.ts";
import { grammarOfSchema } from "./schema/json-schema.ts";
import { ANY_OBJECT, COLON, COMMA, valueRules } from "./schema/json-text.ts";

interface ToolCallForm {
  /** Around a call. */
  readonly begin: string;
  readonly end: string;
  /** Between two calls. */
  readonly separator: string;
  /** Key of the arguments beside `name`. */
  readonly argumentsKey: string;
}

/** How models write calls of tools: JSON with `name` and arguments. */
export const toolFormats = {
  /** Of Hermes 2 Pro and Qwen: calls in tags, which may follow text. */
  hermes: { begin: "<tool_call>\n", end: "\n</tool_call>", separator: "\n", argumentsKey: "arguments" },
  /** Of Llama 3: the whole message is calls. */
  llama: { begin: "", end: "", separator: "; ", argumentsKey: "parameters" },
} as const satisfies Readonly<Record<string, ToolCallForm>>;

export type ToolFormat = keyof typeof toolFormats;

/** A tool whose calls are limited. */
export interface GrammarTool {
  readonly name: string;
  /** JSON schema of the arguments. Absent: there are none. */
  readonly parameters?: Readonly<Record<string, unknown>> | undefined;
  /** Whether a schema that cannot be enforced is an error. Default: then the arguments are any object. */
  readonly strict?: boolean | undefined;
}

/** Calls of tools. */
export interface ToolGrammarRequest {
  readonly format: ToolFormat;
  readonly tools: readonly GrammarTool[];
  /** Only this tool is called. */
  readonly name?: string | undefined;
  /** Whether there has to be a call; else there may be text in place of it. */
  readonly isRequired: boolean;
  /** Whether several calls may follow each other. */
  readonly isParallel: boolean;
}

const TRIGGER = "<tool_call>";
const anyText = repeat(characters(anyCharacter), 0, undefined);

/** `plain`: the text in place of calls. Default: any. @throws IdlmError "usage" as `grammarOfSchema`, naming the tool. */
export function grammarOfTools(request: ToolGrammarRequest, path: string, plain: Grammar | undefined): Grammar {
  const { format, tools, name, isRequired, isParallel } = request;
  if (!Object.hasOwn(toolFormats, format)) {
    throw grammarProblem(`${path}.format`, `expected ${Object.keys(toolFormats).join(" or ")}`);
  }
  if (!Array.isArray(tools) || tools.length === 0) throw grammarProblem(`${path}.tools`, "expected a list of tools");
  const rules = new Map([...valueRules, ...(plain?.rules ?? [])]);
  const calls = tools.flatMap((tool, i) =>
    name !== undefined && tool?.name !== name ? [] : [callOf(tool, format, `tools[${i}]`, `tool ${i} `, rules)],
  );
  rules.set("tool call", choice(...calls));
  const call = rule("tool call");
  const { separator } = toolFormats[format];
  const all = isParallel ? sequence(call, repeat(sequence(text(separator), call), 0, undefined)) : call;
  if (isRequired) return { root: all, rules };
  if (plain !== undefined) return { root: choice(plain.root, all), rules };
  if (format === "llama") {
    return { root: choice(all, empty, sequence(characters(complementOf(charactersIn("{"))), anyText)), rules };
  }
  // What begins like a call is one: text does not contain the tag.
  const afterTag = text("\n");
  rules.set(
    "calls after text",
    sequence(afterTag, withoutBegin(calls), isParallel ? repeat(sequence(text(separator), call), 0, undefined) : empty),
  );
  addTextRules(rules, rule("calls after text"));
  return { root: rule("text 0"), rules };
}

function callOf(
  tool: GrammarTool,
  format: ToolFormat,
  path: string,
  prefix: string,
  rules: Map<string, Expression>,
): Expression {
  if (typeof tool?.name !== "string") throw grammarProblem(`${path}.name`, "expected a string");
  const { begin, end, argumentsKey } = toolFormats[format];
  const head = `${begin}{"name"${COLON}${JSON.stringify(tool.name)}${COMMA}"${argumentsKey}"${COLON}`;
  return sequence(text(head), argumentsOf(tool, `${path}.parameters`, prefix, rules), text(`}${end}`));
}

/** The grammar of a tool's arguments. @throws IdlmError "usage" if the schema is wrong or cannot be enforced. */
export function argumentsGrammar(parameters: GrammarTool["parameters"], path: string, prefix = ""): Grammar {
  // Arguments are an object, also where the schema leaves it out.
  return grammarOfSchema({ type: "object", ...parameters }, path, prefix);
}

function argumentsOf(
  { parameters, strict }: GrammarTool,
  path: string,
  prefix: string,
  rules: Map<string, Expression>,
): Expression {
  if (parameters === undefined) return text("{}");
  try {
    const grammar = argumentsGrammar(parameters, path, prefix);
    for (const [name, body] of grammar.rules) rules.set(name, body);
    return grammar.root;
  } catch (error) {
    if (strict === true) throw error;
    return rule(ANY_OBJECT);
  }
}

/** The calls without the tag and line break that the text before them ends with. */
function withoutBegin(calls: readonly Expression[]): Expression {
  const rest = calls.map((call): Expression => {
    if (call.kind !== "sequence") return call;
    const [head, ...others] = call.parts;
    return head?.kind === "text" ? sequence(text(head.text.slice(toolFormats.hermes.begin.length)), ...others) : call;
  });
  return choice(...rest);
}

/**
 * Rules of text up to the tag of a call: "text n" where its first n characters have just been written. Ends with the text,
 * or with `calls` after the tag.
 */
function addTextRules(rules: Map<string, Expression>, calls: Expression): void {
  const alphabet = [...new Set(TRIGGER)];
  const other = characters(complementOf(charactersIn(TRIGGER)));
  for (let n = 0; n < TRIGGER.length; n++) {
    const written = TRIGGER.slice(0, n);
    const next = alphabet.map((character) => {
      const now = written + character;
      if (now === TRIGGER) return sequence(text(character), calls);
      let length = now.length;
      while (!TRIGGER.startsWith(now.slice(now.length - length))) length--;
      return sequence(text(character), rule(`text ${length}`));
    });
    rules.set(`text ${n}`, choice(empty, sequence(other, rule("text 0")), ...next));
  }
}
