import type { EchoedPrompt } from "../../answer/types.ts";
import type { ScoredToken, TextStream, TextTokenizer, TokenLogprobs } from "../../engine/types.ts";

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** A token in the API's form, with its `bytes` if it has any. */
interface ShownToken {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[] | null;
}

/** Log-probabilities of /v1/chat/completions. */
export interface ChatLogprobs {
  readonly content: readonly (ShownToken & { readonly top_logprobs: readonly ShownToken[] })[];
  readonly refusal: null;
}

/** Log-probabilities of /v1/completions. */
export interface CompletionLogprobs {
  readonly tokens: readonly string[];
  /** Null for the first token of an echoed prompt. */
  readonly token_logprobs: readonly (number | null)[];
  readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[];
  /** Characters (code points) of the text before each token; a part of a character counts from where it begins. */
  readonly text_offset: readonly number[];
}

export function chatLogprobs(logprobs: readonly TokenLogprobs[], tokenizer: TextTokenizer | undefined): ChatLogprobs {
  const shown = ({ token, logprob }: { readonly token: number; readonly logprob: number }): ShownToken => {
    const bytes = tokenizer?.tokenBytes(token);
    return { token: shownToken(token, tokenizer), logprob, bytes: bytes === undefined ? null : [...bytes] };
  };
  return { content: logprobs.map((one) => ({ ...shown(one), top_logprobs: one.top.map(shown) })), refusal: null };
}

/** `text`: the echoed prompt and the completion, which a stop string may have cut. */
export function completionLogprobs(
  logprobs: readonly TokenLogprobs[],
  tokenizer: TextTokenizer | undefined,
  text: string,
  prompt?: EchoedPrompt,
): CompletionLogprobs {
  const all = new CompletionLogprobsStream(tokenizer);
  if (prompt !== undefined) all.echo(prompt);
  all.push(logprobs);
  return all.end(Array.from(text).length);
}

interface CompletionStep {
  readonly name: string;
  readonly logprob: number | null;
  readonly top: Readonly<Record<string, number>> | null;
  readonly offset: number;
}

/** Log-probabilities of /v1/completions in parts: each token's are in the part in which its text begins. */
export class CompletionLogprobsStream {
  readonly #tokenizer: TextTokenizer | undefined;
  #stream: TextStream | undefined;
  #steps: CompletionStep[] = [];
  #offset = 0;

  constructor(tokenizer: TextTokenizer | undefined) {
    this.#tokenizer = tokenizer;
    this.#stream = tokenizer?.stream();
  }

  /** The prompt's tokens, before all others. A BOS token need not be in its text. */
  echo({ text, ids, logprobs = [] }: EchoedPrompt): void {
    const length = Array.from(text).length;
    const decoded = this.#tokenizer?.decode(ids) ?? "";
    this.#offset = decoded.endsWith(text) ? length - Array.from(decoded).length : 0;
    this.push(logprobs);
    this.#offset = length;
    this.#stream = this.#tokenizer?.stream();
  }

  push(logprobs: readonly ScoredToken[]): void {
    for (const { token, logprob, top = [] } of logprobs) {
      const entries = new Map<string, number>();
      const name = keyOf(token, this.#tokenizer, entries);
      const offset = Math.max(0, this.#offset);
      this.#offset += Array.from(this.#stream?.push(token) ?? "").length;
      if (logprob === undefined) {
        this.#steps.push({ name, logprob: null, top: null, offset });
        continue;
      }
      entries.set(name, logprob);
      for (const other of top) {
        if (other.token !== token) entries.set(keyOf(other.token, this.#tokenizer, entries), other.logprob);
      }
      this.#steps.push({ name, logprob, top: byProbability(entries), offset });
    }
  }

  /** Those of tokens whose text begins in the first `length` characters; undefined: none. */
  take(length: number): CompletionLogprobs | undefined {
    const first = this.#steps.findIndex(({ offset }) => offset >= length);
    const taken = this.#steps.splice(0, first < 0 ? this.#steps.length : first);
    return taken.length === 0 ? undefined : joined(taken, length);
  }

  /** The rest. `length` of the text, which a stop string may have cut. */
  end(length: number): CompletionLogprobs {
    return joined(this.#steps.splice(0), length);
  }
}

function joined(steps: readonly CompletionStep[], length: number): CompletionLogprobs {
  return {
    tokens: steps.map(({ name }) => name),
    token_logprobs: steps.map(({ logprob }) => logprob),
    top_logprobs: steps.map(({ top }) => top),
    text_offset: steps.map(({ offset }) => Math.min(offset, length)),
  };
}

function byProbability(entries: ReadonlyMap<string, number>): Record<string, number> {
  return Object.fromEntries([...entries].sort(([, a], [, b]) => b - a));
}

const strictUtf8 = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/**
 * The key of a token among those of a step, different for different tokens: its text if that is whole characters, else its
 * bytes as `bytes:\xNN…`, as the API writes them. If both are taken, or it has none: `token_id:ID`.
 */
function keyOf(token: number, tokenizer: TextTokenizer | undefined, taken: ReadonlyMap<string, number>): string {
  const bytes = tokenizer?.tokenBytes(token);
  if (bytes === undefined || bytes.length === 0) return `token_id:${token}`;
  const hex = `bytes:${Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}`;
  const options = [wholeText(bytes) ?? hex, hex];
  return options.find((option) => !taken.has(option)) ?? `token_id:${token}`;
}

function wholeText(bytes: Uint8Array): string | undefined {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/** An incomplete character becomes U+FFFD; `bytes` has it unchanged. */
function shownToken(token: number, tokenizer: TextTokenizer | undefined): string {
  return utf8.decode(tokenizer?.tokenBytes(token));
}
