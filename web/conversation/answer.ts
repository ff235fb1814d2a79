import type { WireChunk, WireLogprob, WireResult, WireRound, WireToken, WireUsage } from "../api/wire.ts";
import { TokenSpans } from "../rounds/token-spans.ts";

/** waiting: nothing has arrived yet; stopped: by the user; failed: see `problem`. */
export type AnswerStatus = "waiting" | "streaming" | "done" | "stopped" | "failed";

export interface ToolCall {
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
}

/** What is stored of an answer. */
export interface StoredAnswer {
  readonly status: AnswerStatus;
  readonly content: string;
  readonly reasoning?: string;
  readonly toolCalls?: readonly ToolCall[];
  readonly rounds?: readonly WireRound[];
  readonly logprobs?: readonly WireLogprob[];
  readonly result?: WireResult;
  readonly usage?: WireUsage;
  readonly finishReason?: string;
  readonly problem?: string;
}

/** An answer of the model, with how it came about. It grows while it streams; `AnswerView` shows it once per frame. */
export class Answer {
  status: AnswerStatus = "waiting";
  content = "";
  reasoning = "";
  toolCalls: ToolCall[] = [];
  rounds: WireRound[] = [];
  /** Of all rounds. */
  tokens: WireToken[] = [];
  /** Index of the round of each token. */
  roundOf: number[] = [];
  /** One per token, if recorded. */
  logprobs: WireLogprob[] = [];
  result: WireResult | undefined;
  usage: WireUsage | undefined;
  finishReason: string | undefined;
  problem: string | undefined;
  #spans = new TokenSpans();

  static from(stored: StoredAnswer): Answer {
    const answer = new Answer();
    answer.content = stored.content;
    answer.reasoning = stored.reasoning ?? "";
    answer.toolCalls = [...(stored.toolCalls ?? [])];
    for (const round of stored.rounds ?? []) answer.#addRound(round);
    answer.logprobs = [...(stored.logprobs ?? [])];
    answer.result = stored.result;
    answer.usage = stored.usage;
    answer.finishReason = stored.finishReason;
    answer.problem = stored.problem;
    // The stream of an answer that was stored while it ran is lost.
    answer.end(stored.status === "waiting" || stored.status === "streaming" ? "stopped" : stored.status);
    return answer;
  }

  /** Where each part of `reasoning + content` came from. */
  get spans(): TokenSpans["spans"] {
    return this.#spans.spans;
  }

  get isRunning(): boolean {
    return this.status === "waiting" || this.status === "streaming";
  }

  apply({ choices, usage, idlm }: WireChunk): void {
    const [choice] = choices ?? [];
    const { content, reasoning_content: reasoning, tool_calls: calls } = choice?.delta ?? {};
    if (content || reasoning || idlm?.round) this.status = "streaming";
    this.content += content ?? "";
    this.reasoning += reasoning ?? "";
    for (const call of calls ?? []) {
      const before = this.toolCalls[call.index] ?? { id: "", name: "", arguments: "" };
      this.toolCalls[call.index] = {
        id: call.id ?? before.id,
        name: call.function?.name ?? before.name,
        arguments: before.arguments + (call.function?.arguments ?? ""),
      };
    }
    this.logprobs.push(...(choice?.logprobs?.content ?? []));
    this.finishReason = choice?.finish_reason ?? this.finishReason;
    this.usage = usage ?? this.usage;
    this.result = idlm?.result ?? this.result;
    if (idlm?.round) this.#addRound(idlm.round);
    this.#spans.extend(this.reasoning + this.content);
  }

  end(status: AnswerStatus, problem = this.problem): void {
    this.status = status;
    this.problem = problem;
    this.#spans.finish(this.reasoning + this.content);
  }

  toJSON(): StoredAnswer {
    const { status, content, reasoning, toolCalls, rounds, logprobs, result, usage, finishReason, problem } = this;
    return {
      ...{ status, content, rounds },
      ...(reasoning !== "" && { reasoning }),
      ...(toolCalls.length > 0 && { toolCalls }),
      ...(logprobs.length > 0 && { logprobs }),
      ...(result && { result }),
      ...(usage && { usage }),
      ...(finishReason !== undefined && { finishReason }),
      ...(problem !== undefined && { problem }),
    };
  }

  #addRound(round: WireRound): void {
    for (const token of round.tokens) {
      this.tokens.push(token);
      this.roundOf.push(this.rounds.length);
    }
    this.rounds.push(round);
    this.#spans.add(round.tokens);
  }
}
