import { type ToolFormat, toolFormats } from "../grammar/tool-calls.ts";
import type { MessageDelta, MessageFormat, MessageReader } from "./types.ts";

const OPENING = "<tool_call>";
const CLOSING = "</tool_call>";

/** The start of a call up to its arguments. */
const head = /^\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"(?:arguments|parameters)"\s*:/s;

/**
 * Reads calls of tools from a text, as the model writes them in its format: JSON in `<tool_call>` tags after text, or JSON as
 * the whole text. Text that is no call of a known tool stays text. The message does not depend on how the text is split.
 */
export class ToolCallReader implements MessageReader {
  readonly #isTagged: boolean;
  readonly #names: ReadonlySet<string>;
  readonly #isParallel: boolean;
  readonly #callId: (index: number) => string;
  #place: "start" | "text" | "call" | "arguments" | "after" | "between" = "start";
  /** Text that is not certain yet. */
  #held = "";
  #nCalls = 0;
  #value = new JsonValueScanner();

  constructor({ tools, parallel }: MessageFormat, format: ToolFormat, callId: (index: number) => string) {
    this.#isTagged = toolFormats[format].begin !== "";
    this.#names = new Set(tools.map(({ name }) => name));
    this.#isParallel = parallel;
    this.#callId = callId;
  }

  push(text: string): readonly MessageDelta[] {
    this.#held += text;
    return this.#read(false);
  }

  end(): readonly MessageDelta[] {
    return this.#read(true);
  }

  #read(isEnd: boolean): readonly MessageDelta[] {
    const deltas: MessageDelta[] = [];
    let before: string | undefined;
    // Each step changes the place, or waits for more text.
    while (before !== this.#place) {
      before = this.#place;
      if (before === "start") this.#place = this.#start(isEnd);
      else if (before === "text") deltas.push(...this.#text(isEnd));
      else if (before === "call") deltas.push(...this.#call(isEnd));
      else if (before === "arguments") deltas.push(...this.#arguments());
      else if (before === "after") this.#after();
      else this.#between(isEnd);
    }
    return deltas;
  }

  /** Without tags, a message that begins with a brace is a call. */
  #start(isEnd: boolean): "start" | "text" | "call" {
    if (this.#isTagged) return "text";
    const first = this.#held.trimStart()[0];
    if (first === undefined) return isEnd ? "text" : "start";
    return first === "{" ? "call" : "text";
  }

  /** Text up to the next tag; a possible start of it is held back. */
  #text(isEnd: boolean): readonly MessageDelta[] {
    const open = this.#isTagged ? this.#held.indexOf(OPENING) : -1;
    if (open >= 0) {
      const text = this.#take(open);
      this.#take(OPENING.length);
      this.#place = "call";
      return textDelta(text);
    }
    const kept = isEnd || !this.#isTagged ? 0 : partialLength(this.#held, OPENING);
    return textDelta(this.#take(this.#held.length - kept));
  }

  /** The name of a call. */
  #call(isEnd: boolean): readonly MessageDelta[] {
    const closing = this.#isTagged ? this.#held.indexOf(CLOSING) : -1;
    const match = head.exec(closing < 0 ? this.#held : this.#held.slice(0, closing));
    const name = match === null ? undefined : parsed(match[1] ?? "");
    if (match !== null && typeof name === "string" && this.#names.has(name)) {
      this.#take(match[0].length);
      this.#place = "arguments";
      this.#value = new JsonValueScanner();
      return [this.#begin(name)];
    }
    if (closing < 0 && !isEnd) return [];
    // In another order of keys, or no call.
    const text = this.#take(closing < 0 ? this.#held.length : closing);
    if (closing >= 0) this.#take(CLOSING.length);
    const call = callOf(parsed(text));
    if (call !== undefined && this.#names.has(call.name)) {
      this.#place = "between";
      const begin = this.#begin(call.name);
      return [begin, { kind: "tool-arguments", index: this.#nCalls - 1, text: call.arguments }];
    }
    this.#place = "text";
    const tags = this.#isTagged ? [OPENING, closing < 0 ? "" : CLOSING] : ["", ""];
    return textDelta(`${tags[0]}${text}${tags[1]}`);
  }

  #begin(name: string): MessageDelta {
    const index = this.#nCalls++;
    return { kind: "tool-call", index, id: this.#callId(index), name };
  }

  #arguments(): readonly MessageDelta[] {
    const text = this.#take(this.#value.push(this.#held));
    if (this.#value.isComplete) this.#place = "after";
    const piece = this.#value.isFirst ? text.trimStart() : text;
    return piece === "" ? [] : [{ kind: "tool-arguments", index: this.#nCalls - 1, text: piece }];
  }

  /** What closes a call is left out. */
  #after(): void {
    const closing = this.#isTagged ? CLOSING : "}";
    const at = this.#held.indexOf(closing);
    if (at < 0) return;
    this.#take(at + closing.length);
    this.#place = "between";
  }

  /** White space (and semicolons) after a call are left out, as is all if there may be only one. */
  #between(isEnd: boolean): void {
    if (!this.#isParallel) {
      this.#held = "";
      return;
    }
    const space = this.#isTagged ? /^\s*/ : /^[\s;]*/;
    const rest = this.#held.replace(space, "");
    if (rest === "") {
      if (isEnd) this.#held = "";
      return;
    }
    if (!this.#isTagged && rest.startsWith("{")) {
      this.#held = rest;
      this.#place = "call";
    } else if (this.#isTagged && rest.startsWith(OPENING)) {
      this.#held = rest.slice(OPENING.length);
      this.#place = "call";
    } else if (!this.#isTagged || isEnd || !OPENING.startsWith(rest)) {
      this.#place = "text";
    }
  }

  #take(length: number): string {
    const text = this.#held.slice(0, length);
    this.#held = this.#held.slice(length);
    return text;
  }
}

/** Finds the end of a JSON value. */
class JsonValueScanner {
  isComplete = false;
  /** Whether the last text may begin with white space before the value. */
  isFirst = true;
  #hasStarted = false;
  #depth = 0;
  #isInString = false;
  #isEscaped = false;

  /** Number of characters of the text that belong to the value, and white space before it. */
  push(text: string): number {
    this.isFirst = !this.#hasStarted;
    let at = 0;
    for (; at < text.length && !this.isComplete; at++) {
      const character = text[at] as string;
      if (this.#isInString) this.#string(character);
      else if (character === '"') {
        this.#hasStarted = true;
        this.#isInString = true;
      } else if (character === "{" || character === "[") {
        this.#hasStarted = true;
        this.#depth++;
      } else if (character === "}" || character === "]") {
        // The end of the call after a number or word.
        if (this.#depth === 0) {
          this.isComplete = true;
          return at;
        }
        if (--this.#depth === 0) this.isComplete = true;
      } else if (!/\s/.test(character)) this.#hasStarted = true;
    }
    return at;
  }

  #string(character: string): void {
    if (this.#isEscaped) this.#isEscaped = false;
    else if (character === "\\") this.#isEscaped = true;
    else if (character === '"') {
      this.#isInString = false;
      if (this.#depth === 0) this.isComplete = true;
    }
  }
}

function textDelta(text: string): readonly MessageDelta[] {
  return text === "" ? [] : [{ kind: "text", text }];
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function callOf(value: unknown): { readonly name: string; readonly arguments: string } | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { name, arguments: given, parameters } = value as Readonly<Record<string, unknown>>;
  const content = given ?? parameters ?? {};
  return typeof name === "string"
    ? { name, arguments: typeof content === "string" ? content : JSON.stringify(content) }
    : undefined;
}

/** Length of the longest suffix that begins a tag. */
function partialLength(text: string, tag: string): number {
  for (let n = Math.min(text.length, tag.length - 1); n > 0; n--) if (tag.startsWith(text.slice(-n))) return n;
  return 0;
}
