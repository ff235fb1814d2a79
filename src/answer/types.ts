import type {
  Choice,
  GenerateRequest,
  GenerationResult,
  RoundRecord,
  ScoredToken,
  TokenLogprobs,
} from "../engine/types.ts";
import type { KeyNames } from "../errors.ts";

/** A function that the model may call. */
export interface Tool {
  readonly name: string;
  readonly description?: string | undefined;
  /** JSON schema of its arguments. Absent: no arguments. */
  readonly parameters?: Readonly<Record<string, unknown>> | undefined;
  /** Whether the arguments must follow the schema. */
  readonly strict: boolean;
  /** Where the request has `parameters`. */
  readonly schemaPath?: string | undefined;
}

/** auto: the model decides; none: no calls; required: at least one call; a name: a call of that tool. */
export type ToolChoice = "auto" | "none" | "required" | { readonly name: string };

/** How an assistant's text is read. */
export interface MessageFormat {
  readonly tools: readonly Tool[];
  readonly toolChoice: ToolChoice;
  /** Whether several calls may follow each other. */
  readonly parallel: boolean;
  /** Whether text in `<think>` is reasoning. */
  readonly reasoning: boolean;
}

/** What all chat and completion APIs are converted to. */
export interface AnswerRequest {
  /** One per prompt. */
  readonly requests: readonly GenerateRequest[];
  /** Undefined: the text is not a message, as in raw completions. */
  readonly format: MessageFormat | undefined;
  /** Whether records of rounds are wanted. */
  readonly rounds: boolean;
  /** No tokens are wanted: one is generated, since the engine needs one, and left out. */
  readonly isEmpty?: boolean | undefined;
  /** Whether the prompts come first, with their log-probabilities if the requests have `promptLogprobs`. */
  readonly echo?: boolean | undefined;
  /** Only the `keep` likeliest of the n completions of each prompt; needs log-probabilities. Not for streams. */
  readonly best?: { readonly keep: number; readonly hasLogprobs: boolean } | undefined;
  /** Makes the ids of tool calls. Default: a random one. */
  readonly id?: string | undefined;
  /** Unknown keys of the body. */
  readonly ignored: readonly string[];
  /** The API's names of the engine's keys, for error messages. */
  readonly names: KeyNames;
}

/** Part of an assistant's message. */
export type MessageDelta =
  | { readonly kind: "text" | "reasoning"; readonly text: string }
  /** Begins a call, once; `index` counts the calls of the message. */
  | { readonly kind: "tool-call"; readonly index: number; readonly id: string; readonly name: string }
  /** More of the call's arguments, as JSON text. */
  | { readonly kind: "tool-arguments"; readonly index: number; readonly text: string };

/** Reads an assistant's text while it is generated. */
export interface MessageReader {
  /** Parts that are certain after more text. */
  push(text: string): readonly MessageDelta[];
  /** What was held back: no more will come. */
  end(): readonly MessageDelta[];
}

export type AnswerFinishReason = GenerationResult["finishReason"] | "tool_calls";

/** A prompt as part of an answer. */
export interface EchoedPrompt {
  readonly text: string;
  readonly ids: readonly number[];
  /** One per token, if requested. */
  readonly logprobs?: readonly ScoredToken[];
}

/** Events of an answer. `choice` counts the completions of all prompts. Those of one choice are in order. */
export type AnswerEvent = { readonly choice: number } & (
  | MessageDelta
  /** The first event of each prompt, at its first choice to begin. */
  | {
      readonly kind: "start";
      readonly prompt: number;
      readonly promptTokens: number;
      readonly cachedTokens: number;
    }
  /** The prompt, if the request echoes it: the first event of each choice. */
  | ({ readonly kind: "prompt" } & EchoedPrompt)
  /** Generated tokens, before the text that they complete. */
  | { readonly kind: "tokens"; readonly tokens: readonly number[]; readonly logprobs?: readonly TokenLogprobs[] }
  | { readonly kind: "round"; readonly round: RoundRecord }
  | {
      readonly kind: "end";
      readonly finishReason: AnswerFinishReason;
      /** The stop string that ended the text. */
      readonly stop?: string;
      /** The end token that ended the text. */
      readonly endToken?: number;
      readonly endLogprobs?: TokenLogprobs;
    }
);

export interface ToolCall {
  readonly id: string;
  readonly name: string;
  /** JSON text, as the model wrote it. */
  readonly arguments: string;
}

/** One completion, as a message. */
export interface AnsweredChoice {
  /** Over all prompts. */
  readonly index: number;
  /** Index of its prompt. */
  readonly prompt: number;
  readonly completion: Omit<Choice, "index">;
  /** Text without reasoning and calls. */
  readonly text: string;
  readonly reasoning: string | undefined;
  readonly toolCalls: readonly ToolCall[];
  readonly finishReason: AnswerFinishReason;
}

export interface Answer {
  /** One per prompt. */
  readonly results: readonly GenerationResult[];
  readonly choices: readonly AnsweredChoice[];
  /** One per prompt, if the request echoes them. */
  readonly prompts?: readonly EchoedPrompt[];
}

/** An answer that is being generated. */
export interface RunningAnswer {
  /**
   * Events that came together. Can be iterated once; leaving the loop early cancels the generations. Without a reader they
   * run to their end.
   */
  readonly events: AsyncIterable<readonly AnswerEvent[]>;
  /** Rejects with the error that iterating throws. */
  readonly done: Promise<Answer>;
}
