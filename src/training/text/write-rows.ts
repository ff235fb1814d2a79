import { setMaxListeners } from "node:events";
import { IdlmError } from "../../errors.ts";
import { type AnswerParts, answerRequest } from "./answer-request.ts";
import type { TextRequest } from "./request-plan.ts";
import type { DroppedRequest, DropReason, TextOutcome, TextRow } from "./row.ts";
import type { RowFilter } from "./row-filter.ts";
import type { TextFolder } from "./text-folder.ts";
import { RequestWindow } from "./request-window.ts";

/** How often the files are flushed and the manifest is replaced. */
const SAVE_MS = 15_000;
/** Requests in a row without a row after which the prompts are taken for used up, beyond one for each prompt. */
const MAX_DROPPED_IN_A_ROW = 500;

export interface WriteRowsOptions {
  readonly tokens: number;
  /** Requests that run at once. */
  readonly concurrency: number;
  /** Prompts that come again and again; 0: there are always new ones. */
  readonly nPrompts: number;
  readonly filter: RowFilter;
  readonly onOutcome: (outcome: TextOutcome) => void;
}

/**
 * Runs the requests of a plan concurrently and appends the outcomes in order, until the folder has the requested number
 * of tokens. @throws IdlmError "usage" if the prompts yield no new rows; the signal's reason.
 */
export async function writeRows(
  folder: TextFolder,
  plan: Iterator<TextRequest, never>,
  parts: AnswerParts,
  { tokens, concurrency, nPrompts, filter, onOutcome }: WriteRowsOptions,
): Promise<void> {
  const { totals } = folder;
  const controller = new AbortController();
  const stop = () => controller.abort(parts.signal.reason);
  parts.signal.addEventListener("abort", stop);
  if (parts.signal.aborted) stop();
  setMaxListeners(0, controller.signal);
  const running = { ...parts, signal: controller.signal };
  const window = new RequestWindow(concurrency, () => answerRequest(running, plan.next().value));
  let savedMs = performance.now();
  try {
    while (totals.responseTokens < tokens) {
      const outcome = filtered(await window.next(), filter);
      await folder.append(outcome);
      if ("row" in outcome) filter.add(outcome.row);
      onOutcome(outcome);
      if (totals.nSinceRow > nPrompts + MAX_DROPPED_IN_A_ROW) throw usedUp(totals.responseTokens, tokens);
      if (performance.now() - savedMs < SAVE_MS) continue;
      await folder.save(false);
      savedMs = performance.now();
    }
  } finally {
    parts.signal.removeEventListener("abort", stop);
    controller.abort();
    await window.close();
  }
}

function filtered(outcome: TextOutcome, filter: RowFilter): TextOutcome {
  if ("dropped" in outcome) return outcome;
  const reason = filter.problemOf(outcome.row);
  return reason === undefined ? outcome : { dropped: droppedRow(outcome.row, reason) };
}

function droppedRow({ index, source, messages }: TextRow, reason: DropReason): DroppedRequest {
  return { index, source, reason, prompt: messages.findLast(({ role }) => role === "user")?.content ?? "" };
}

function usedUp(found: number, tokens: number): IdlmError {
  return new IdlmError("usage", {
    problem: `the prompts are used up: they gave ${found} of ${tokens} tokens, and nothing new since`,
    hint: "Add prompts in a folder of its own, or ask for fewer tokens. dropped.jsonl has the reasons.",
  });
}
