import type { ChatMessage } from "../../../engine/types.ts";

/** A chat for the model to answer. */
export interface Prompt {
  /** What it is about or comes from. Prompts of one group are all trained on, or all held out. */
  readonly group: string;
  /** Up to the first turn of the user that the model answers. */
  readonly opening: readonly ChatMessage[];
  /** Further turns of the user, each after an answer. */
  readonly further: readonly string[];
  /** Asks the model for the text that stands for PASSAGE in the opening; absent: there is none. */
  readonly passageRequest?: string;
}

/** Prompts in a fixed order. */
export interface PromptList {
  /** Number `n` from 0; they begin again where there are no more. */
  at(n: number): Prompt;
}

/** A chat that begins with the user. */
export function userPrompt(group: string, [first = "", ...further]: readonly string[]): Prompt {
  return { group, opening: [{ role: "user", content: first }], further };
}
