import { IdlmError } from "../errors.ts";
import { JinjaTemplate } from "./jinja/index.ts";
import { JsonNumber } from "./jinja/json-number.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** A message, as passed to the template. */
export interface TemplateMessage {
  readonly role: string;
  readonly content?: unknown;
  readonly [key: string]: unknown;
}

export interface RenderOptions {
  readonly messages: readonly TemplateMessage[];
  readonly tools?: readonly unknown[] | undefined;
  /** Whether to end with the start of the assistant's turn (default: true). */
  readonly addGenerationPrompt?: boolean | undefined;
  /** Whether to leave the last message open, so that the model continues it. */
  readonly continueFinalMessage?: boolean | undefined;
  /** Additional variables: special tokens, `enable_thinking`, … */
  readonly kwargs?: Readonly<Record<string, unknown>> | undefined;
  /** The time for `strftime_now`. */
  readonly now?: Date | undefined;
}

const MAX_TEMPLATE_LENGTH = 1 << 20;

/** A model's chat template: Jinja2, as transformers renders it. */
export class ChatTemplate {
  readonly source: string;
  readonly #template: JinjaTemplate;
  readonly #path: string;
  readonly #maxSteps: number | undefined;

  /** `maxSteps`: rendering is stopped after this many steps. */
  constructor(source: string, path: string, maxSteps?: number) {
    this.source = source;
    this.#template = new JinjaTemplate(source);
    this.#path = path;
    this.#maxSteps = maxSteps;
  }

  /**
   * Renders a conversation. @throws IdlmError "file-malformed" if the source is not a Jinja template, "usage" if the
   * template raises an exception, fails or does not end.
   */
  async render(options: RenderOptions): Promise<string> {
    const { addGenerationPrompt = true, continueFinalMessage = false, now = new Date() } = options;
    if (options.messages.length === 0) throw this.#problem("there are no messages");
    const messages = options.messages.map(prepare);
    const last = messages.at(-1);
    const tag = "\u{F1F1A}CONTINUE\u{F1F1A}";
    if (continueFinalMessage && last !== undefined) {
      if (addGenerationPrompt && options.addGenerationPrompt === true) {
        throw this.#problem("cannot both continue the final message and add a generation prompt");
      }
      if (typeof last.content !== "string") throw this.#problem("the message to continue has no text");
      messages[messages.length - 1] = { ...last, content: `${last.content}${tag}` };
    }
    const variables = {
      tools: options.tools ?? null,
      documents: null,
      add_generation_prompt: continueFinalMessage ? false : addGenerationPrompt,
      ...options.kwargs,
    };
    const run = (turns: readonly TemplateMessage[]) => this.#run({ messages: turns, ...variables }, now);
    const text = await run(messages);
    if (!continueFinalMessage) return text;
    const at = text.lastIndexOf(tag);
    if (at < 0) throw this.#problem("it does not render the message to continue");
    // A template that trims content would have trimmed the white space before the tag.
    const kept = text.slice(0, at);
    return (await run(options.messages.map(prepare))).startsWith(kept) ? kept : kept.trimEnd();
  }

  async #run(variables: Readonly<Record<string, unknown>>, now: Date): Promise<string> {
    if (this.source.length > MAX_TEMPLATE_LENGTH) throw this.#malformed(`${this.source.length} characters`);
    const result = await this.#template.render({ variables, now, maxSteps: this.#maxSteps });
    if ("text" in result) return result.text;
    if ("malformed" in result) throw this.#malformed(result.malformed);
    throw this.#problem("raised" in result ? result.raised : `failed: ${result.failed}`);
  }

  #problem(text: string): IdlmError {
    return new IdlmError("usage", { problem: `${this.#path}: chat template: ${text}`, hint: "Check the messages." });
  }

  #malformed(found: string): IdlmError {
    const field = "chat template";
    return new IdlmError("file-malformed", { path: this.#path, field, expected: "a Jinja template", found });
  }
}

/**
 * Token ids of a conversation. Special tokens from the template become special tokens, but the same strings in messages
 * are plain text, unless the template itself looks for them there (as some do for `</think>`).
 */
export async function encodeChat(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  request: RenderOptions,
): Promise<number[]> {
  const options = { ...request, now: request.now ?? new Date() };
  const { messages, tools } = options;
  const json = JSON.stringify({ messages, tools });
  const isIn = (token: string) => json.includes(JSON.stringify(token).slice(1, -1));
  const found = tokenizer.specialTokens.filter(isIn);
  const text = await template.render(options);
  if (found.length === 0) return tokenizer.encode(text, { special: true });

  const standIns = standInsFor(found, json + template.source);
  const original = (rendered: string) =>
    standIns.reduce((all, { mark, first }) => all.replaceAll(mark, first), rendered);
  const renderWith = async (tokens: readonly string[]): Promise<string> => {
    const protect = (value: unknown) => protectTokens(value, tokens, standIns);
    const guarded = {
      messages: messages.map((message) => protect(message) as TemplateMessage),
      tools: tools?.map(protect),
    };
    return template.render({ ...options, ...guarded });
  };
  const isSame = async (tokens: readonly string[]) => original(await renderWith(tokens).catch(() => "")) === text;
  let rendered = await renderWith(found).catch(() => "");
  if (original(rendered) !== text) {
    const unseen: string[] = [];
    for (const token of found) if (await isSame([token])) unseen.push(token);
    rendered = await renderWith(unseen).catch(() => "");
    if (original(rendered) !== text) rendered = text;
  }
  return tokenizer.encode(rendered, { special: true, restore: original });
}

/** A character that stands for the first one of a token in a message, which keeps the token from being recognised. */
interface StandIn {
  readonly mark: string;
  readonly first: string;
}

/** Printable characters of one UTF-16 unit (Braille, then private use), of which a conversation lacks some. */
const standInRanges: readonly (readonly [number, number])[] = [
  [0x2801, 0x28ff],
  [0xe000, 0xf8ff],
];

/** One stand-in for each first character, so that lengths and positions stay what they are. */
function standInsFor(tokens: readonly string[], taken: string): readonly StandIn[] {
  const firsts = new Set(tokens.map((token) => Array.from(token)[0] ?? ""));
  const free: string[] = [];
  for (const [from, to] of standInRanges) {
    for (let code = from; code <= to && free.length < firsts.size; code++) {
      const mark = String.fromCharCode(code);
      if (!taken.includes(mark)) free.push(mark);
    }
  }
  return [...firsts].flatMap((first, i) => {
    const mark = free[i];
    return mark === undefined ? [] : [{ mark, first }];
  });
}

function protectTokens(value: unknown, tokens: readonly string[], standIns: readonly StandIn[]): unknown {
  if (typeof value === "string") {
    return tokens.reduce((text, token) => {
      const standIn = standIns.find(({ first }) => token.startsWith(first));
      return standIn === undefined ? text : text.replaceAll(token, standIn.mark + token.slice(standIn.first.length));
    }, value);
  }
  if (Array.isArray(value)) return value.map((item) => protectTokens(item, tokens, standIns));
  if (typeof value !== "object" || value === null || value instanceof JsonNumber) return value;
  const protect = (inner: unknown) => protectTokens(inner, tokens, standIns);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [protect(key), protect(inner)]));
}

/**
 * A message as transformers passes it: without what is null, and with reasoning under the names that templates know. Text
 * parts are joined, which is what most templates expect.
 */
function prepare(message: TemplateMessage): TemplateMessage {
  const kept: { role: string; [key: string]: unknown } = { ...joinTextParts(message) };
  for (const [key, value] of Object.entries(kept)) if (value === null || value === undefined) delete kept[key];
  const reasoning = kept.reasoning_content ?? kept.thinking ?? kept.reasoning;
  return reasoning === undefined ? kept : { thinking: reasoning, ...kept, reasoning_content: reasoning };
}

/** Joins content that consists of text parts to one string. */
function joinTextParts(message: TemplateMessage): TemplateMessage {
  const { content } = message;
  if (!Array.isArray(content) || content.length === 0) return message;
  const texts = content.map((part: unknown) =>
    typeof part === "object" && part !== null && "text" in part && typeof part.text === "string"
      ? part.text
      : undefined,
  );
  return texts.every((text) => text !== undefined) ? { ...message, content: texts.join("") } : message;
}
