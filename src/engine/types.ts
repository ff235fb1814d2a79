import type { BackendInfo } from "../compute/backend.ts";
import type { SamplingRequest } from "../compute/sampling/settings.ts";
import type { Shape } from "../decoding/planners/shapes.ts";
import type { ProposerKind } from "../decoding/proposers/registry.ts";
import type { RoundCount } from "../decoding/round/decoder.ts";
import type { GrammarRequest } from "../grammar/grammar.ts";
import type { ToolFormat } from "../grammar/tool-calls.ts";

/** One message of a conversation. What the chat template does not know is left out of the prompt. */
export interface ChatMessage {
  readonly role: "system" | "user" | "assistant" | "tool";
  /** May be empty beside calls. */
  readonly content: string;
  /** Of a participant or a tool. */
  readonly name?: string | undefined;
  /** What the assistant thought before it wrote the content. */
  readonly reasoning?: string | undefined;
  /** The assistant's calls of tools. */
  readonly toolCalls?: readonly ToolCallMessage[] | undefined;
  /** The call that a tool's message is the result of. */
  readonly toolCallId?: string | undefined;
}

export interface ToolCallMessage {
  readonly id?: string | undefined;
  readonly name: string;
  /** An object, or its JSON text. */
  readonly arguments: Readonly<Record<string, unknown>> | string;
}

/** A function that the model may call. */
export interface ToolDefinition {
  readonly name: string;
  readonly description?: string | undefined;
  /** JSON schema of its arguments. */
  readonly parameters?: Readonly<Record<string, unknown>> | undefined;
}

/** How a conversation is rendered. */
export interface ChatOptions {
  /** Tools that the chat template describes to the model. */
  readonly tools?: readonly ToolDefinition[] | undefined;
  /** Variables for the chat template, such as `enable_thinking`. */
  readonly templateArguments?: Readonly<Record<string, unknown>> | undefined;
  /** Whether the prompt ends with the beginning of the model's message. Default: true. */
  readonly addGenerationPrompt?: boolean | undefined;
  /** Whether the model continues the last message instead of beginning one. Default: false. */
  readonly continueFinalMessage?: boolean | undefined;
}

/** Progress of loading: downloading the model, then packing its weights. */
export interface LoadProgress {
  readonly stage: "verify" | "download" | "extract" | "load";
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

export interface LoadOptions {
  /**
   * Adapter folder, or ORG/REPO on the hub; false: none. Default: the catalogue's adapter for a catalogue name, else
   * none.
   */
  readonly adapter?: string | false | undefined;
  /** Draft model: a smaller model with the same vocabulary, named like the model. */
  readonly draftModel?: string | undefined;
  /** Default: native, or the reference with a warning if the native addon was not built. */
  readonly backend?: "native" | "reference" | undefined;
  /** Compute threads of the native backend. Default: one per core, at most 16. */
  readonly threads?: number | undefined;
  /** Context length (positions), prompt and completion together. Default: the model's, as far as memory allows. */
  readonly context?: number | undefined;
  /** Most concurrent sequences, 1 to 256; further requests wait. Default: 16. */
  readonly maxSequences?: number | undefined;
  /** Most waiting requests; one more fails with the error "queue-full". Default: 1024. */
  readonly maxQueue?: number | undefined;
  /**
   * Positions of the KV cache, shared by running sequences and the prefix cache; at least `context`. Default:
   * `maxSequences` contexts, as far as a quarter of the memory allows.
   */
  readonly cachePositions?: number | undefined;
  /**
   * A loaded model of the same MODEL, for instance with another adapter: its weights are used, not loaded again. Either may
   * be disposed of first.
   */
  readonly shareWith?: Model | undefined;
  /** Bytes of memory to leave to others. Default: 0. */
  readonly reservedBytes?: number | undefined;
  readonly observer?: ModelObserver | undefined;
  /** Whether to download a model that is not in the cache. Default: true. */
  readonly pull?: boolean | undefined;
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
  /** Called with a message for the user. */
  readonly onWarning?: ((message: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Source of proposals; auto: all available ones. */
export type Propose = "none" | ProposerKind | "auto";

/**
 * Shape of a round. plain: one token per forward; chain: a chain of proposals with a MASK run below the last one;
 * quadratic: a chain with a MASK run below every proposal and the pending token; tree: alternatives at each depth;
 * auto: chosen for each round from measured times and acceptance.
 */
export type RoundForm = "plain" | Shape;

/**
 * exact: the output is byte for byte that of plain decoding; rejection: distributed like that of plain decoding;
 * relaxed: neither, with a higher acceptance.
 */
export type Verify = "exact" | "rejection" | "relaxed";

/**
 * A request for completions. Exactly one of `prompt`, `messages` and `ids`. Sampling settings are off by default: the
 * most likely token is generated (temperature 0).
 */
export interface GenerateRequest extends SamplingRequest, ChatOptions {
  /** Raw text, without a chat template. Special tokens in it are parsed. */
  readonly prompt?: string | undefined;
  /** A conversation, formatted by the model's chat template. Special tokens in the contents are plain text. */
  readonly messages?: readonly ChatMessage[] | undefined;
  /** Token ids, used as they are. */
  readonly ids?: readonly number[] | undefined;

  /** Default: auto. */
  readonly propose?: Propose | undefined;
  /** Most tokens per forward, 1 to 8. Default: depends on `shape`. */
  readonly stride?: number | undefined;
  /** Default: chain if `stride` is given, else auto. With rejection and relaxed verification, auto is a fixed shape. */
  readonly shape?: Shape | undefined;
  /** How proposals are verified. Default: exact. */
  readonly verify?: Verify | undefined;
  /**
   * With relaxed verification a proposal is accepted if u < p / (tau q). Above 0, at most 1 (the same as rejection).
   * Default: 0.5.
   */
  readonly tau?: number | undefined;
  /** Predicted output: text that the completion probably repeats in large part. */
  readonly predict?: string | undefined;
  /** What the completion has to look like. It ends where the grammar does, or at `maxTokens`. Default: any text. */
  readonly grammar?: GrammarRequest | undefined;
  /** Number of completions, 1 to 128, each with its own noise. Default: 1. */
  readonly n?: number | undefined;

  /** Most tokens to generate. Default: until the context is full. */
  readonly maxTokens?: number | undefined;
  /** 0 … 2^53 − 1; default 0. */
  readonly seed?: number | undefined;

  /** Added to logits, by token id, before the temperature is applied. */
  readonly logitBias?: Readonly<Record<number, number>> | ReadonlyMap<number, number> | undefined;

  /** Stop strings, at most 16. The text ends before the first one. */
  readonly stop?: readonly string[] | undefined;
  /** Token ids that end the text like the model's end tokens, at most 64. */
  readonly stopTokens?: readonly number[] | undefined;
  /** Whether the model's end tokens are never drawn, so that the completion has `maxTokens` tokens. Default: false. */
  readonly ignoreEos?: boolean | undefined;
  /** Log-probabilities of each generated token and of the n most likely ones, 0 to 64. Default: none. */
  readonly logprobs?: number | undefined;
  /**
   * Log-probabilities of each token of the prompt and of the n most likely ones in its place, 0 to 64; the prompt is then
   * not taken from the prefix cache. Default: none.
   */
  readonly promptLogprobs?: number | undefined;
  /** -100 to 100; higher priorities run first, and waiting raises the priority. Default: 0. */
  readonly priority?: number | undefined;
  /**
   * User or tenant of the request, at most 256 characters. Requests of the same priority share the machine fairly by
   * it. Default: "".
   */
  readonly share?: string | undefined;
  /** Whether parts have a record of their round. Default: false. */
  readonly rounds?: boolean | undefined;
  /** Context length of this request, at most that of `load`. */
  readonly context?: number | undefined;
  /** Cancels the generation: the output so far is kept, `finishReason` is "cancelled". */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Output of one round. Text may lag behind tokens: incomplete characters and possible starts of stop strings are held
 * back.
 */
export interface GenerationPart {
  readonly text: string;
  readonly tokens: readonly number[];
  /** Index of the completion, if `n` is above 1. */
  readonly choice?: number;
  /** Rows of the round; absent if the part has only text that was held back. */
  readonly round?: { readonly proposals: number; readonly maskRows: number };
  /** One entry per token, if requested. */
  readonly logprobs?: readonly TokenLogprobs[];
  /** What the round proposed and drew, if requested. */
  readonly record?: RoundRecord;
  /** Prompt tokens found in the prefix cache; in the first part. */
  readonly cachedTokens?: number;
}

/** What one round proposed and drew. */
export interface RoundRecord {
  /** Number of the forward that drew its tokens, from 1. */
  readonly forward: number;
  /** Time since the previous forward's tokens, or since the start. */
  readonly ms: number;
  /** Rows of the sequence in the forward. */
  readonly rows: number;
  /** Parents before children. */
  readonly proposals: readonly ProposalRecord[];
  /** The tokens of the part, in order. */
  readonly tokens: readonly {
    readonly id: number;
    readonly text: string;
    /** The proposer whose proposal it was; drawn: it was not proposed. */
    readonly source: string;
    /** Depth of the proposal, from 1; 0: not proposed. */
    readonly depth: number;
  }[];
}

export interface ProposalRecord {
  readonly id: number;
  readonly text: string;
  /** Index of its parent among the proposals; -1: the last token before the round. */
  readonly parent: number;
  /** From 1. */
  readonly depth: number;
  /** Its proposer. */
  readonly source: string;
  /** Its proposer's estimate, 0 to 1; not calibrated. */
  readonly probability: number;
  readonly accepted: boolean;
}

/** Natural log-probabilities under the model's distribution, before any sampling setting. */
export interface TokenLogprobs {
  readonly token: number;
  readonly logprob: number;
  /** The most likely tokens, best first. */
  readonly top: readonly { readonly token: number; readonly logprob: number }[];
}

/** One of several completions. */
export type Choice = Pick<
  GenerationResult,
  | "text"
  | "tokens"
  | "sha256"
  | "finishReason"
  | "endToken"
  | "endLogprobs"
  | "stopString"
  | "forwards"
  | "tokensPerForward"
  | "logprobs"
> & { readonly index: number };

export interface GenerationResult {
  /** Ends before a stop string. Empty if the model has no tokenizer. */
  readonly text: string;
  /** Without the end token; includes the token that completed a stop string. */
  readonly tokens: readonly number[];
  /** Of the text in UTF-8, hexadecimal. */
  readonly sha256: string;
  /** stop: an end token or a stop string; length: `maxTokens` or the end of the context. */
  readonly finishReason: "stop" | "length" | "cancelled";
  /** The end token that ended the text; absent where something else did. */
  readonly endToken?: number;
  /** Log-probabilities of the end token, if requested. */
  readonly endLogprobs?: TokenLogprobs;
  /** The stop string that ended the text. */
  readonly stopString?: string;
  /** Forwards that drew tokens: the last one of the prefill, and one per round. */
  readonly forwards: number;
  /** Drawn tokens (an end token included) ÷ forwards: 1 for plain decoding. */
  readonly tokensPerForward: number;
  /** Proposals at depth i + 1. */
  readonly proposedByDepth: readonly number[];
  /** Accepted proposals at depth i + 1. */
  readonly acceptedByDepth: readonly number[];
  /** Tokens proposed from the predicted output, if there is one. */
  readonly prediction?: { readonly accepted: number; readonly rejected: number };
  /** Acceptance rate at depth i + 1, among proposals whose ancestors were all accepted. */
  readonly acceptanceByDepth: readonly number[];
  /** Rounds by numbers of rows, the most frequent first. */
  readonly rounds: readonly RoundCount[];
  /** Time to the first token. */
  readonly prefillMs: number;
  /** Time from the first token to the end. */
  readonly decodeMs: number;
  readonly promptTokens: number;
  /** Prompt tokens found in the prefix cache. */
  readonly cachedTokens: number;
  readonly stride: number;
  readonly propose: Propose;
  readonly shape: RoundForm;
  readonly verify: Verify;
  /** If `verify` is relaxed. */
  readonly tau?: number;
  /** One entry per token, if requested. */
  readonly logprobs?: readonly TokenLogprobs[];
  /** All completions, if `n` is above 1; the other fields are those of the first one. */
  readonly choices?: readonly Choice[];
  readonly instructionSet: BackendInfo["instructionSet"];
  readonly threads: number;
  readonly numerics: number;
  /**
   * Whether the output is that of plain decoding: the same bytes (exact) or the same distribution (rejection). False
   * for relaxed.
   */
  readonly lossless: boolean;
}

/**
 * A running generation. It can be iterated once. If it is not iterated it runs to its end; otherwise it pauses while
 * the reader is many parts behind.
 */
export interface Generation extends AsyncIterable<GenerationPart> {
  /** Token ids of the prompt, before the first part. Empty if it was cancelled before. Rejects as `result` does. */
  readonly promptIds: Promise<readonly number[]>;
  /**
   * One per token of the prompt, if requested: the ones of `Model.score`. Empty if it was cancelled before. Rejects as
   * `result` does.
   */
  readonly promptLogprobs: Promise<readonly ScoredToken[]>;
  /** Rejects with the error that iterating throws. */
  readonly result: Promise<GenerationResult>;
}

/**
 * A conversation. The model's prefix cache keeps prompts and outputs while there is room, so a turn does not compute
 * the previous turns again. A session tells how much is cached.
 */
export interface Session {
  /** As `Model.generate`. */
  generate(request: GenerateRequest): Generation;
  /** Tokens of the last turn, prompt and output, that are in the KV cache now. */
  readonly cachedTokens: number;
  /** Waits for its generations. Cached tokens stay in the prefix cache. */
  dispose(): Promise<void>;
}

export interface ModelInfo {
  readonly path: string;
  readonly architecture: string;
  readonly nLayers: number;
  readonly vocabSize: number;
  /** Context length (positions). */
  readonly contextLength: number;
  /** Bytes of the weights in memory. */
  readonly weightBytes: number;
  /** Bytes of the KV cache, which become resident when they are used. */
  readonly cacheBytes: number;
  readonly backend: BackendInfo;
  readonly loadMs: number;
  readonly adapter?: { readonly path: string; readonly depths: number; readonly entryLayer: number };
}

/** A forest. Each root (parent −1) starts a sequence. One entry per row. */
export interface ForestInput {
  /** Token ids; −1: a MASK row. */
  readonly tokens: ArrayLike<number>;
  readonly positions: ArrayLike<number>;
  /** Index of the parent row, which comes before its children; −1: a root. */
  readonly parents: ArrayLike<number>;
  /** 1: the adapter acts on this row. Default: 1 for MASK rows. */
  readonly gate?: ArrayLike<number> | undefined;
  /** For the sampler head of MASK rows: the token before the predicted one; −1: none. */
  readonly previous?: ArrayLike<number> | undefined;
}

export interface ForwardOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Copies of the results, one entry per row. */
export interface ForwardOutput {
  /** [row][hidden], after the final norm. */
  readonly hidden: readonly Float32Array[];
  /**
   * [row][vocabulary]. MASK rows: [row][draft vocabulary] if the adapter has one, after the sampler head if `previous`
   * is given.
   */
  readonly logits: readonly Float32Array[];
  /** Ids of the draft vocabulary, ascending. */
  readonly draftVocabulary?: Int32Array;
}

/** Exactly one of `text` and `ids`. */
export interface ScoreRequest {
  /** Special tokens in it are plain text. The tokenizer's BOS token, if any, is put in front and not scored. */
  readonly text?: string | undefined;
  /** Used as they are, without a BOS token; the first one is not scored. */
  readonly ids?: readonly number[] | undefined;
  /** Positions of a window. Default and maximum: the context length of the model. */
  readonly context?: number | undefined;
  /** How many of the most likely tokens are told beside each token, 0 to 64. Default: no `top`. */
  readonly logprobs?: number | undefined;
  /** Called after each forward. */
  readonly onProgress?: ((progress: { readonly tokensDone: number; readonly tokensTotal: number }) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ScoredToken {
  readonly token: number;
  readonly logprob: number | undefined;
  /** The most likely tokens, best first, if requested. Empty if the token is not scored. */
  readonly top?: TokenLogprobs["top"];
}

export interface ScoredText {
  /** Natural log-probabilities; undefined for a first token without a BOS token before it. */
  readonly tokens: readonly ScoredToken[];
  readonly nScored: number;
  /** Mean negative log-probability, nats per token. */
  readonly meanNll: number;
  /** e^meanNll */
  readonly perplexity: number;
  readonly context: number;
  readonly nWindows: number;
}

/** Is told what a model does. Its methods must be quick, and must not throw. */
export interface ModelObserver {
  /** After a forward: its rows, the sequences that they belong to, and those that gave up their slot since the last one. */
  onForward?(forward: {
    readonly rows: number;
    readonly sequences: number;
    readonly preemptions: number;
    readonly ms: number;
  }): void;
  /** A round of a sequence drew tokens, this long after its previous tokens; undefined: they are its first. */
  onTokens?(round: { readonly tokens: number; readonly ms: number | undefined }): void;
  /** A sequence ended; `queueMs`: its time before it started. An error: it failed. */
  onEnd?(result: GenerationResult | Error, queueMs: number): void;
}

/** What a model does at a moment. */
export interface ModelStats {
  /** Unfinished sequences; one for each choice of a request. */
  readonly sequences: readonly {
    /** Whether it has a slot. */
    readonly isRunning: boolean;
    readonly promptTokens: number;
    readonly generatedTokens: number;
  }[];
  readonly maxSequences: number;
  /** Pages of the KV cache; `used`: those that running sequences need. */
  readonly cachePages: { readonly total: number; readonly used: number; readonly size: number };
}

export interface Model {
  readonly info: ModelInfo;
  /** Undefined if the model has none; prompts must then be `ids`. */
  readonly tokenizer: TextTokenizer | undefined;
  /** Token ids of a text. `special`: parse special tokens in it; default false. */
  tokenize(text: string, options?: { readonly special?: boolean }): number[];
  /** Text of token ids, special tokens included. */
  detokenize(ids: readonly number[]): string;
  session(): Session;
  /**
   * Starts a generation. The generations of a model share forwards, without an influence on each other's output. Throws
   * if the request is invalid or the queue is full; errors of the chat template and of the prompt's length reject the
   * result instead. @throws IdlmError "usage", "context-too-long", "stride-too-long", "queue-full".
   */
  generate(request: GenerateRequest): Generation;
  /** Token ids of a request's prompt, as `generate` computes it. @throws IdlmError "usage", "context-too-long". */
  promptIds(request: GenerateRequest): Promise<readonly number[]>;
  /**
   * Log-probability of each token of a text, given those before it. A text longer than the context is scored in windows
   * that overlap by half. @throws IdlmError "usage", "not-finite"; the signal's reason.
   */
  score(request: ScoreRequest): Promise<ScoredText>;
  stats(): ModelStats;
  /** Runs a forest from an empty KV cache. */
  forward(forest: ForestInput, options?: ForwardOptions): Promise<ForwardOutput>;
  /** Cancels all generations, waits for them and frees all memory. */
  dispose(): Promise<void>;
}

/** The interface that the engine needs from a tokenizer. */
export interface TextTokenizer {
  encode(text: string, options?: { readonly special?: boolean }): number[];
  /** Token ids of a raw prompt: special tokens are parsed, and the BOS token is added if the model uses one. */
  encodePrompt(text: string): number[];
  decode(ids: readonly number[]): string;
  /** Bytes of a token; undefined: not in the vocabulary. */
  tokenBytes(id: number): Uint8Array | undefined;
  /** How the model writes calls of tools. Default: hermes. */
  readonly toolFormat?: ToolFormat;
  /** The source of the model's chat template, if it has one. */
  readonly chatTemplate?: string | undefined;
  /** Special tokens by the names that chat templates know them by: `bos_token`, `eos_token` and so on. */
  readonly specialTokens?: Readonly<Record<string, string>>;
  /** Whether a token is not text, but controls the model or the chat template. */
  isSpecial(id: number): boolean;
  /** Decodes token by token, in whole characters. */
  stream(): TextStream;
  /**
   * Token ids of a conversation in the chat template, with the generation prompt. @throws IdlmError "usage" if the
   * template raises an error, fails or takes too long; "file-malformed" if it is not a template. `now`: for templates that
   * name the date.
   */
  encodeChat(
    messages: readonly ChatMessage[],
    options?: ChatOptions & { readonly now?: Date | undefined },
  ): Promise<number[]>;
}

export interface TextStream {
  /** Text completed by this token; may be empty. */
  push(token: number): string;
  /** Remaining bytes of an incomplete character, as U+FFFD. */
  end(): string;
}
