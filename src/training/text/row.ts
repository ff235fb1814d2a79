import type { ChatMessage } from "../../engine/types.ts";

export type TextSource = "human" | "model" | "template" | "file";

/** Why an answer ended: its end token, the limit of its length, or a run of tokens that came a second time. */
export type TextFinish = "end" | "length" | "cut";

/** A line of text.jsonl: a chat whose answers the model wrote. */
export interface TextRow {
  /** Of its request, ascending. Requests without a row are in dropped.jsonl. */
  readonly index: number;
  readonly source: TextSource;
  /** held-out: never trained on. */
  readonly split: "train" | "held-out";
  readonly messages: readonly ChatMessage[];
  /** The chat as the model read and wrote it. */
  readonly ids: readonly number[];
  /** 1: the model wrote this id. */
  readonly response_mask: readonly number[];
  readonly temperature: number;
  readonly seed: number;
  /** Of the last answer; those before it ended by themselves. */
  readonly finish: TextFinish;
}

/** Why a request yields no row; docs/training-text.md explains them. */
export const dropReasons = [
  "repeated-prompt",
  "near-duplicate-question",
  "no-question",
  "prompt-too-long",
  "template-rejects",
  "empty-answer",
  "control-token",
  "loop",
  "same-row",
  "same-answer",
  "refusal",
] as const;

export type DropReason = (typeof dropReasons)[number];

/** A line of dropped.jsonl: a request that yielded no row. */
export interface DroppedRequest {
  readonly index: number;
  readonly source: TextSource;
  readonly reason: DropReason;
  /** The user's turn that was to be answered. */
  readonly prompt: string;
}

export type TextOutcome = { readonly row: TextRow } | { readonly dropped: DroppedRequest };

/** Tokens that the model wrote. */
export function responseTokens(row: TextRow): number {
  let sum = 0;
  for (const bit of row.response_mask) sum += bit;
  return sum;
}
