import { runInNewContext } from "node:vm";
import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";
import { IdlmError } from "../errors.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** One turn as a template sees it. */
export interface TemplateMessage {
  readonly role: string;
  readonly content?: unknown;
  readonly [key: string]: unknown;
}

export interface RenderOptions {
  readonly messages: readonly TemplateMessage[];
  readonly tools?: readonly unknown[] | undefined;
  /** Ends with what opens the assistant's turn. Default: true. */
  readonly addGenerationPrompt?: boolean | undefined;
  /** Leaves the last message open. */
  readonly continueFinalMessage?: boolean | undefined;
  /** Further variables: special tokens, `enable_thinking`, … */
  readonly kwargs?: Readonly<Record<string, unknown>> | undefined;
  /** What `strftime_now` sees. */
  readonly now?: Date | undefined;
}

/** Rendering takes milliseconds; a template that needs this long runs for ever. */
const MAX_RENDER_MS = 3000;
const MAX_TEMPLATE_LENGTH = 1 << 20;
/** Templates count turns or tools. */
const MAX_RANGE = 100_000;

/** A model's chat template (Jinja, by `@huggingface/jinja`). */
export class ChatTemplate {
  readonly #program: ReturnType<typeof parse>;
  readonly #path: string;

  /** @throws IdlmError "file-malformed" where it is no Jinja template. */
  constructor(source: string, path: string) {
    this.#path = path;
    const found = (reason: string) =>
      new IdlmError("file-malformed", { path, field: "chat template", expected: "a Jinja template", found: reason });
    if (source.length > MAX_TEMPLATE_LENGTH) throw found(`${source.length} characters`);
    try {
      this.#program = limited(() => parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true })));
    } catch (error) {
      throw found(messageOf(error));
    }
  }

  /** The text of a conversation. @throws IdlmError "usage" with the template's own message, or where it fails or hangs. */
  render(options: RenderOptions): string {
    const { addGenerationPrompt = true, continueFinalMessage = false, now = new Date() } = options;
    const problem = (text: string, cause?: unknown) =>
      new IdlmError("usage", { problem: `${this.#path}: chat template: ${text}`, hint: "Correct the messages" }, cause);
    if (options.messages.length === 0) throw problem("there are no messages");
    const messages = options.messages.map(flattened);
    const last = messages.at(-1);
    const tag = "\u{F1F1A}CONTINUE\u{F1F1A}";
    if (continueFinalMessage && last !== undefined) {
      if (addGenerationPrompt && options.addGenerationPrompt === true) {
        throw problem("a final message cannot be continued and a new one begun");
      }
      if (typeof last.content !== "string") throw problem("the message to continue has no text");
      messages[messages.length - 1] = { ...last, content: `${last.content}${tag}` };
    }
    const context = {
      tools: options.tools ?? null,
      documents: null,
      add_generation_prompt: continueFinalMessage ? false : addGenerationPrompt,
      ...globals,
      strftime_now: (format: string) => strftime(now, format),
      ...options.kwargs,
    };
    const run = (turns: readonly TemplateMessage[]): string => {
      try {
        return limited(() => this.#run({ ...context, messages: turns }));
      } catch (error) {
        throw problem(error instanceof RaisedByTemplate ? error.message : `failed: ${messageOf(error)}`, error);
      }
    };
    const text = run(messages);
    if (!continueFinalMessage) return text;
    const at = text.lastIndexOf(tag);
    if (at < 0) throw problem("it does not show the message to continue");
    // A template that trims content would have taken the white space that the tag now stands behind.
    const kept = text.slice(0, at);
    return run(options.messages.map(flattened)).startsWith(kept) ? kept : kept.trimEnd();
  }

  #run(context: Readonly<Record<string, unknown>>): string {
    const environment = new Environment();
    for (const [name, value] of Object.entries(context)) environment.set(name, value);
    return String(new Interpreter(environment).run(this.#program).value);
  }
}

/** What every template may call; `Template.render` of the library has them too, but with a clock of its own. */
const globals: Readonly<Record<string, unknown>> = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  raise_exception: (message: unknown) => {
    throw new RaisedByTemplate(String(message));
  },
  range: (first: number, end?: number, step = 1) => {
    const [from, to] = end === undefined ? [0, first] : [first, end];
    const n = Math.max(0, Math.ceil((to - from) / step));
    if (!(n <= MAX_RANGE)) throw new RaisedByTemplate(`range of ${n} is longer than ${MAX_RANGE}`);
    return Array.from({ length: n }, (_, i) => from + i * step);
  },
};

/**
 * Ids of a conversation: special tokens that the template writes are such, special tokens written in the messages are
 * text like any other.
 */
export function encodeChat(tokenizer: Tokenizer, template: ChatTemplate, options: RenderOptions): number[] {
  const specials = tokenizer.specialTokens;
  const written = JSON.stringify(options.messages);
  const found = specials.filter((token) => written.includes(JSON.stringify(token).slice(1, -1)));
  if (found.length === 0) return tokenizer.encode(template.render(options), { special: true });
  // A private character inside each such string keeps it from being recognised; taken out again before encoding.
  let guard = 0xf0000;
  while (written.includes(String.fromCodePoint(guard))) guard++;
  const mark = String.fromCodePoint(guard);
  const protect = (value: unknown): unknown => {
    if (typeof value === "string") {
      return found.reduce(
        (text, token) => text.replaceAll(token, `${token.slice(0, 1)}${mark}${token.slice(1)}`),
        value,
      );
    }
    if (Array.isArray(value)) return value.map(protect);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, protect(inner)]));
  };
  const messages = options.messages.map((message) => protect(message) as TemplateMessage);
  const ids: number[] = [];
  for (const segment of tokenizer.segments(template.render({ ...options, messages }), true)) {
    if (typeof segment === "number") ids.push(segment);
    else ids.push(...tokenizer.encode(segment.replaceAll(mark, "")));
  }
  return ids;
}

class RaisedByTemplate extends Error {}

/** Runs `work`; V8 ends it after MAX_RENDER_MS, whatever it does. */
function limited<T>(work: () => T): T {
  return runInNewContext("work()", { work }, { timeout: MAX_RENDER_MS }) as T;
}

function messageOf(error: unknown): string {
  const message =
    error instanceof Error || (typeof error === "object" && error !== null && "message" in error)
      ? String(error.message)
      : String(error);
  return /timed out/.test(message) ? `it did not end within ${MAX_RENDER_MS / 1000} s` : message.slice(0, 300);
}

/** Content of text parts as one string, which is what most templates take. */
function flattened(message: TemplateMessage): TemplateMessage {
  const { content } = message;
  if (!Array.isArray(content) || content.length === 0) return message;
  const texts = content.map((part: unknown) =>
    typeof part === "object" && part !== null && "text" in part && typeof part.text === "string"
      ? part.text
      : undefined,
  );
  return texts.every((text) => text !== undefined) ? { ...message, content: texts.join("") } : message;
}

const months = ["January", "February", "March", "April", "May", "June"].concat([
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
]);
const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/** The directives of strftime that templates use; unknown ones stay as they are. */
function strftime(date: Date, format: string): string {
  const two = (n: number) => String(n).padStart(2, "0");
  const month = months[date.getMonth()] as string;
  const day = days[date.getDay()] as string;
  const directives: Readonly<Record<string, string>> = {
    Y: String(date.getFullYear()),
    y: two(date.getFullYear() % 100),
    m: two(date.getMonth() + 1),
    d: two(date.getDate()),
    e: String(date.getDate()).padStart(2, " "),
    H: two(date.getHours()),
    I: two(date.getHours() % 12 || 12),
    M: two(date.getMinutes()),
    S: two(date.getSeconds()),
    p: date.getHours() < 12 ? "AM" : "PM",
    B: month,
    b: month.slice(0, 3),
    A: day,
    a: day.slice(0, 3),
    "%": "%",
  };
  return String(format).replace(/%([a-zA-Z%])/g, (all, directive: string) => directives[directive] ?? all);
}
