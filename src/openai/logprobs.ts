import type { TextTokenizer, TokenLogprobs } from "../engine/types.ts";

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
  readonly token_logprobs: readonly number[];
  readonly top_logprobs: readonly Readonly<Record<string, number>>[];
  /** UTF-16 units before each token. */
  readonly text_offset: readonly number[];
}

export function chatLogprobs(logprobs: readonly TokenLogprobs[], tokenizer: TextTokenizer | undefined): ChatLogprobs {
  const shown = ({ token, logprob }: { readonly token: number; readonly logprob: number }): ShownToken => {
    const bytes = tokenizer?.tokenBytes(token);
    return { token: shownToken(token, tokenizer), logprob, bytes: bytes === undefined ? null : [...bytes] };
  };
  return { content: logprobs.map((one) => ({ ...shown(one), top_logprobs: one.top.map(shown) })), refusal: null };
}

export function completionLogprobs(
  logprobs: readonly TokenLogprobs[],
  tokenizer: TextTokenizer | undefined,
): CompletionLogprobs {
  const tokens = logprobs.map(({ token }) => shownToken(token, tokenizer));
  let offset = 0;
  return {
    tokens,
    token_logprobs: logprobs.map(({ logprob }) => logprob),
    top_logprobs: logprobs.map(({ top }) =>
      Object.fromEntries(top.map(({ token, logprob }) => [shownToken(token, tokenizer), logprob])),
    ),
    text_offset: tokens.map((token) => {
      const before = offset;
      offset += token.length;
      return before;
    }),
  };
}

/** An incomplete character becomes U+FFFD; `bytes` has it unchanged. */
function shownToken(token: number, tokenizer: TextTokenizer | undefined): string {
  return utf8.decode(tokenizer?.tokenBytes(token));
}
