/** What the page reads of the server's answers: the OpenAI API's streams with the extension `idlm`. */

/** A proposed token of a round. */
export interface WireProposal {
  readonly id: number;
  readonly text: string;
  /** Index among the proposals of the round; -1: below the pending token. */
  readonly parent: number;
  /** 1 for children of the pending token. */
  readonly depth: number;
  /** A name of the server's table of proposers: mask, lookup, … */
  readonly source: string;
  /** The proposer's; null or absent where it has none. */
  readonly probability?: number | null;
  readonly accepted: boolean;
}

/** A token that a round added to the text. */
export interface WireToken {
  readonly id: number;
  readonly text: string;
  /** As of proposals, or drawn. */
  readonly source: string;
  /** Depth of the accepted proposal; 0 if drawn. */
  readonly depth: number;
}

/** One forward of a generation. */
export interface WireRound {
  /** From 1: the end of the prefill, which draws the first token. */
  readonly forward: number;
  /** Since the round before. */
  readonly ms: number;
  readonly rows: number;
  readonly proposals: readonly WireProposal[];
  readonly tokens: readonly WireToken[];
}

/** How a generation went. */
export interface WireResult {
  readonly sha256: string;
  readonly forwards: number;
  readonly tokensPerForward: number;
  readonly prefillMs: number;
  readonly decodeMs: number;
  readonly lossless: boolean;
}

export interface WireLogprob {
  readonly token: string;
  readonly logprob: number;
  readonly top_logprobs?: readonly { readonly token: string; readonly logprob: number }[];
}

/** A piece of a tool call in a stream. */
export interface WireToolCall {
  readonly index: number;
  readonly id?: string;
  readonly function?: { readonly name?: string; readonly arguments?: string };
}

export interface WireUsage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly prompt_tokens_details?: { readonly cached_tokens?: number };
}

/** One event of a stream of /v1/chat/completions. */
export interface WireChunk {
  readonly choices?: readonly {
    readonly delta?: {
      readonly content?: string | null;
      readonly reasoning_content?: string | null;
      readonly tool_calls?: readonly WireToolCall[];
    };
    readonly logprobs?: { readonly content?: readonly WireLogprob[] | null } | null;
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: WireUsage | null;
  readonly idlm?: { readonly round?: WireRound; readonly result?: WireResult } | null;
  readonly error?: WireError;
}

export interface WireError {
  readonly message?: string;
  readonly code?: string | null;
  readonly param?: string | null;
}
