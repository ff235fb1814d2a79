import { IdlmError } from "../errors.ts";
import { MAX_RENDER_MS, renderTemplate } from "./template-renderer.ts";
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

/** A model's chat template (Jinja, rendered by `@huggingface/jinja` in a separate process). */
export class ChatTemplate {
  readonly #source: string;
  readonly #path: string;
  readonly #maxRenderMs: number;

  /** `maxRenderMs`: rendering is stopped after this time. */
  constructor(source: string, path: string, maxRenderMs = MAX_RENDER_MS) {
    this.#source = source;
    this.#path = path;
    this.#maxRenderMs = maxRenderMs;
  }

  /**
   * Renders a conversation. @throws IdlmError "file-malformed" if the source is not a Jinja template, "usage" if the
   * template raises an exception, fails or hangs.
   */
  async render(options: RenderOptions): Promise<string> {
    const { addGenerationPrompt = true, continueFinalMessage = false, now = new Date() } = options;
    const problem = (text: string) =>
      new IdlmError("usage", { problem: `${this.#path}: chat template: ${text}`, hint: "Check the messages" });
    if (options.messages.length === 0) throw problem("there are no messages");
    const messages = options.messages.map(joinTextParts);
    const last = messages.at(-1);
    const tag = "\u{F1F1A}CONTINUE\u{F1F1A}";
    if (continueFinalMessage && last !== undefined) {
      if (addGenerationPrompt && options.addGenerationPrompt === true) {
        throw problem("cannot both continue the final message and add a generation prompt");
      }
      if (typeof last.content !== "string") throw problem("the message to continue has no text");
      messages[messages.length - 1] = { ...last, content: `${last.content}${tag}` };
    }
    const variables = {
      tools: options.tools ?? null,
      documents: null,
      add_generation_prompt: continueFinalMessage ? false : addGenerationPrompt,
      ...options.kwargs,
    };
    const run = async (turns: readonly TemplateMessage[]): Promise<string> => {
      if (this.#source.length > MAX_TEMPLATE_LENGTH) throw this.#malformed(`${this.#source.length} characters`);
      const { text, malformed, raised, failed } = await renderTemplate({
        source: this.#source,
        variables: { ...variables, messages: turns },
        nowMs: now.getTime(),
        maxRenderMs: this.#maxRenderMs,
      });
      if (malformed !== undefined) throw this.#malformed(malformed);
      if (text === undefined) throw problem(raised ?? `failed: ${failed}`);
      return text;
    };
    const text = await run(messages);
    if (!continueFinalMessage) return text;
    const at = text.lastIndexOf(tag);
    if (at < 0) throw problem("it does not render the message to continue");
    // A template that trims content would have trimmed the white space before the tag.
    const kept = text.slice(0, at);
    return (await run(options.messages.map(joinTextParts))).startsWith(kept) ? kept : kept.trimEnd();
  }

  #malformed(found: string): IdlmError {
    const field = "chat template";
    return new IdlmError("file-malformed", { path: this.#path, field, expected: "a Jinja template", found });
  }
}

/**
 * Token ids of a conversation. Special tokens from the template become special tokens, but the same strings in messages
 * are plain text.
 */
export async function encodeChat(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  options: RenderOptions,
): Promise<number[]> {
  const specials = tokenizer.specialTokens;
  const json = JSON.stringify(options.messages);
  const found = specials.filter((token) => json.includes(JSON.stringify(token).slice(1, -1)));
  if (found.length === 0) return tokenizer.encode(await template.render(options), { special: true });
  // A private-use character inside each such string keeps it from being recognised; it is removed before encoding.
  let guard = 0xf0000;
  while (json.includes(String.fromCodePoint(guard))) guard++;
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
  for (const segment of tokenizer.segments(await template.render({ ...options, messages }), true)) {
    if (typeof segment === "number") ids.push(segment);
    else ids.push(...tokenizer.encode(segment.replaceAll(mark, "")));
  }
  return ids;
}

/** Joins content that consists of text parts to one string, which is what most templates expect. */
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
