import type { BackendInfo } from "../compute/backend.ts";
import type { RoundCount } from "../decoding/round/decoder.ts";
import type { SamplingRequest } from "../compute/sampling/settings.ts";
import type { Shape } from "../decoding/planners/shapes.ts";
import type { ProposerKind } from "../decoding/proposers/registry.ts";

/** One turn of a conversation. */
export interface ChatMessage {
  readonly role: "system" | "user" | "assistant" | "tool";
  readonly content: string;
}

/** How far loading has come: fetching the model's file, then packing its weights. */
export interface LoadProgress {
  readonly stage: "verify" | "download" | "extract" | "load";
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

export interface LoadOptions {
  /** Adapter folder, or ORG/REPO of the hub; false: none. Default: the catalogue's for a name of the catalogue, else none. */
  readonly adapter?: string | false | undefined;
  /** A smaller model with the same vocabulary, which drafts: named as a model is. */
  readonly draftModel?: string | undefined;
  /** Default: native; where it is not built, the reference with a warning. */
  readonly backend?: "native" | "reference" | undefined;
  /** Compute threads of the native backend; default: one per core, at most 16. */
  readonly threads?: number | undefined;
  /** Positions to make room for, prompt and answer. Default: what the model was made for, as far as memory allows. */
  readonly context?: number | undefined;
  /** Texts that are written at once, 1 to 256; further requests wait. Default: 16. */
  readonly maxSequences?: number | undefined;
  /** Requests that may wait; one more is the error "queue-full". Default: 1024. */
  readonly maxQueue?: number | undefined;
  /**
   * Positions of the KV cache in all, shared by the texts that run and the beginnings that are kept; at least `context`.
   * Default: a context for each of `maxSequences`, as far as a quarter of the memory allows.
   */
  readonly cachePositions?: number | undefined;
  /** Whether a name is fetched where it is missing. Default: true. */
  readonly pull?: boolean | undefined;
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
  /** Called with a sentence for a person. */
  readonly onWarning?: ((message: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Where proposals come from; auto: from wherever there are any. */
export type Propose = "none" | ProposerKind | "auto";

/**
 * The form of a round. plain: one token a forward; chain: proposals in a row and a MASK run off the last; quadratic: MASK
 * runs off every proposal and the pending token; tree: alternatives at each depth; auto: chosen anew for each round, by
 * measured times and acceptance.
 */
export type RoundForm = "plain" | Shape;

/**
 * exact: byte for byte plain decoding's text; rejection: distributed as plain decoding's; relaxed: neither, proposals stand
 * more often.
 */
export type Verify = "exact" | "rejection" | "relaxed";

/**
 * What to write. Exactly one of `prompt`, `messages` and `ids`. Sampling settings are off by default: the most likely
 * token is generated (temperature 0).
 */
export interface GenerateRequest extends SamplingRequest {
  /** Raw text, without a chat template. Special tokens in it count as such. */
  readonly prompt?: string | undefined;
  /** A conversation, put through the model's chat template. Special tokens written in it are plain text. */
  readonly messages?: readonly ChatMessage[] | undefined;
  /** Token ids as they are. */
  readonly ids?: readonly number[] | undefined;

  /** Default: auto. */
  readonly propose?: Propose | undefined;
  /** Tokens that a forward yields at best, 1 to 8. Default: what `shape` chooses. */
  readonly stride?: number | undefined;
  /** Default: chain where a stride is given, else auto. In the modes rejection and relaxed auto is a fixed form. */
  readonly shape?: Shape | undefined;
  /** How proposals are verified. Default: exact. */
  readonly verify?: Verify | undefined;
  /** For relaxed: a proposal stands where u < p / (tau q). Above 0, at most 1 (as rejection). Default: 0.5. */
  readonly tau?: number | undefined;
  /** A text that the answer probably repeats in large part ("predicted outputs"). */
  readonly predict?: string | undefined;
  /** Answers to write, 1 to 128, each with noise of its own. Default: 1. */
  readonly n?: number | undefined;

  /** Most tokens to write. Default: until the context is full. */
  readonly maxTokens?: number | undefined;
  /** 0 … 2^53 − 1; default 0. */
  readonly seed?: number | undefined;

  /** Added to logits, by token id, before the temperature is applied. */
  readonly logitBias?: Readonly<Record<number, number>> | ReadonlyMap<number, number> | undefined;

  /** The text ends before the first of these; at most 16. */
  readonly stop?: readonly string[] | undefined;
  /** Log-probabilities of the written token and of the n likeliest, 0 to 64. Default: none. */
  readonly logprobs?: number | undefined;
  /** -100 to 100, higher ones go first; one that waits long rises. Default: 0. */
  readonly priority?: number | undefined;
  /** Whose request it is, at most 256 characters: those of one priority share the machine fairly. Default: nobody's. */
  readonly share?: string | undefined;
  /** Positions for prompt and answer, at most those of `load`. */
  readonly context?: number | undefined;
  /** Ends the generation at once; what is written so far stays, `finishReason` is "cancelled". */
  readonly signal?: AbortSignal | undefined;
}

/** What became final in one round. Text may lag behind tokens: half a character or half a stop string is held back. */
export interface GenerationPart {
  readonly text: string;
  readonly tokens: readonly number[];
  /** Which answer it belongs to, where `n` is above 1. */
  readonly choice?: number;
  /** What the round was made of; absent for text that was held back. */
  readonly round?: { readonly proposals: number; readonly maskRows: number };
}

/** Natural log-probabilities of the model's own distribution, before any sampling setting. */
export interface TokenLogprobs {
  readonly token: number;
  readonly logprob: number;
  /** The likeliest, best first. */
  readonly top: readonly { readonly token: number; readonly logprob: number }[];
}

/** One of several answers. */
export type Choice = Pick<
  GenerationResult,
  "text" | "tokens" | "sha256" | "finishReason" | "forwards" | "tokensPerForward" | "logprobs"
> & { readonly index: number };

export interface GenerationResult {
  /** Ends before a stop string. Empty where the model has no tokenizer. */
  readonly text: string;
  /** Ids without the end token; up to and with the token that completed a stop string. */
  readonly tokens: readonly number[];
  /** Of the text's UTF-8, hexadecimal. */
  readonly sha256: string;
  /** stop: an end token or a stop string; length: `maxTokens` or the context's end. */
  readonly finishReason: "stop" | "length" | "cancelled";
  /** Forwards that drew tokens: the prefill's last one and every round. */
  readonly forwards: number;
  /** Drawn tokens (an end token included) ÷ forwards: 1 for plain decoding. */
  readonly tokensPerForward: number;
  /** Proposals at depth i + 1. */
  readonly proposedByDepth: readonly number[];
  /** Those of them that stood. */
  readonly acceptedByDepth: readonly number[];
  /** Share of proposals at depth i + 1 that stood, of those whose earlier ones all had. */
  readonly acceptanceByDepth: readonly number[];
  /** Forms of the forwards that drew tokens, the most frequent first: what the shape auto chose. */
  readonly rounds: readonly RoundCount[];
  /** Up to the first token. */
  readonly prefillMs: number;
  /** From the first token on. */
  readonly decodeMs: number;
  readonly promptTokens: number;
  /** Tokens of the prompt that were in the KV cache already. */
  readonly cachedTokens: number;
  readonly stride: number;
  readonly propose: Propose;
  readonly shape: RoundForm;
  readonly verify: Verify;
  /** Where `verify` is relaxed. */
  readonly tau?: number;
  /** One entry per token, where the request asked for them. */
  readonly logprobs?: readonly TokenLogprobs[];
  /** All answers, where `n` is above 1; the result's own text and figures are the first one's. */
  readonly choices?: readonly Choice[];
  readonly instructionSet: BackendInfo["instructionSet"];
  readonly threads: number;
  readonly numerics: number;
  /** exact: the text is byte for byte plain decoding's; rejection: distributed as it. False where it is relaxed. */
  readonly lossless: boolean;
}

/**
 * A running generation; it can be read once. Unread it runs to its end. Once a reader has begun it is paused while the
 * reader is many parts behind.
 */
export interface Generation extends AsyncIterable<GenerationPart> {
  /** Rejects with what iterating throws. */
  readonly result: Promise<GenerationResult>;
}

/**
 * A conversation. Beginnings of texts stay in the model's KV cache until their room is needed, so that what a prompt shares
 * with the turns before is not computed again; a session tells how much that is.
 */
export interface Session {
  /** As `Model.generate`. */
  generate(request: GenerateRequest): Generation;
  /** Tokens of the last turn, prompt and answer, whose keys and values are in the cache now. */
  readonly cachedTokens: number;
  /** Waits for what it writes. What is cached of it stays as long as there is room. */
  dispose(): Promise<void>;
}

export interface ModelInfo {
  readonly path: string;
  readonly architecture: string;
  readonly nLayers: number;
  readonly vocabSize: number;
  /** Positions that room was made for. */
  readonly contextLength: number;
  /** Weights as used. */
  readonly weightBytes: number;
  readonly backend: BackendInfo;
  readonly loadMs: number;
  readonly adapter?: { readonly path: string; readonly depths: number; readonly entryLayer: number };
}

/** A forest whose roots (parent −1) each start a sequence of their own. One entry per row. */
export interface ForestInput {
  /** Ids, or −1: a MASK row. */
  readonly tokens: ArrayLike<number>;
  readonly positions: ArrayLike<number>;
  /** Row of the parent, which comes before; −1: a root. */
  readonly parents: ArrayLike<number>;
  /** 1: the adapter acts on this row. Default: on MASK rows. */
  readonly gate?: ArrayLike<number> | undefined;
  /** MASK rows: the token before the predicted one, for the sampler head; −1: none. */
  readonly previous?: ArrayLike<number> | undefined;
}

export interface ForwardOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Copies, one entry per row. */
export interface ForwardOutput {
  /** [row][hidden], after the final norm. */
  readonly hidden: readonly Float32Array[];
  /** [row][vocabulary]; MASK rows: [row][draft vocabulary] where the adapter has one, after the sampler head given `previous`. */
  readonly logits: readonly Float32Array[];
  /** Ids of the draft vocabulary, ascending. */
  readonly draftVocabulary?: Int32Array;
}

/** Exactly one of `text` and `ids`. */
export interface ScoreRequest {
  /** Special tokens in it are plain text. What the model's texts begin with stands before it, and is not scored. */
  readonly text?: string | undefined;
  /** As they are; nothing is put in front, so the first is not scored. */
  readonly ids?: readonly number[] | undefined;
  /** Positions of a window, at most those of `load` (the default). */
  readonly context?: number | undefined;
  /** Called after each forward. */
  readonly onProgress?: ((progress: { readonly tokensDone: number; readonly tokensTotal: number }) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ScoredText {
  /** Natural logarithms; undefined for a first token that nothing stands before. */
  readonly tokens: readonly { readonly token: number; readonly logprob: number | undefined }[];
  /** Tokens with a log-probability. */
  readonly nScored: number;
  /** Mean of their negative log-probabilities, nats per token. */
  readonly meanNll: number;
  /** e^meanNll */
  readonly perplexity: number;
  /** Positions of a window. */
  readonly context: number;
  readonly nWindows: number;
}

export interface Model {
  readonly info: ModelInfo;
  /** Undefined for a model folder without one: then only `ids` can be prompted with. */
  readonly tokenizer: TextTokenizer | undefined;
  /** Ids of a text. `special`: special tokens written in it count as such; default false. */
  tokenize(text: string, options?: { readonly special?: boolean }): number[];
  /** Text of ids, special tokens included as they are written. */
  detokenize(ids: readonly number[]): string;
  session(): Session;
  /**
   * Generations of one model run together, in shared forwards; the text of each is what it would be alone. What can be
   * told of a request at once is thrown at once; what comes of its messages' template and length, its result rejects with.
   * @throws IdlmError "usage", "context-too-long", "stride-too-long", "queue-full".
   */
  generate(request: GenerateRequest): Generation;
  /**
   * How likely the model finds a text: the log-probability of each token, given those before it. What does not fit into
   * the context is read in windows that overlap by half. @throws IdlmError "usage", "not-finite"; the signal's reason.
   */
  score(request: ScoreRequest): Promise<ScoredText>;
  /** Runs one forest from an empty cache. */
  forward(forest: ForestInput, options?: ForwardOptions): Promise<ForwardOutput>;
  /** Cancels what runs, waits for it and frees everything. */
  dispose(): Promise<void>;
}

/** What the engine needs of a tokenizer. */
export interface TextTokenizer {
  encode(text: string, options?: { readonly special?: boolean }): number[];
  /** Ids of raw text to continue: special tokens in it count, and what the model's texts begin with is put in front. */
  encodePrompt(text: string): number[];
  decode(ids: readonly number[]): string;
  /** What a token stands for, as it is; undefined: nothing. */
  tokenBytes(id: number): Uint8Array | undefined;
  /** Decodes token by token; never gives out half a character. */
  stream(): TextStream;
  /**
   * Ids of a conversation through the chat template, with the opening of the answer. @throws IdlmError "usage" with what
   * the template says, or where it fails or takes seconds; "file-malformed" where it is none.
   */
  encodeChat(messages: readonly ChatMessage[]): Promise<number[]>;
}

export interface TextStream {
  /** Text that became whole with this token; may be empty. */
  push(token: number): string;
  /** What is left: bytes of an unfinished character, as U+FFFD. */
  end(): string;
}
