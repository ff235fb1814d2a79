import type { ToolFormat } from "../grammar/tool-calls.ts";
import { ReasoningReader } from "./reasoning.ts";
import { ToolCallReader } from "./tool-calls.ts";
import type { AnsweredChoice, MessageDelta, MessageFormat, MessageReader } from "./types.ts";

export interface MessageContext {
  /** Whether the prompt ends with the opening tag of reasoning. */
  readonly opensReasoning: boolean;
  /** Id of the message's call with this index. */
  readonly callId: (index: number) => string;
  /** How the model writes calls of tools. */
  readonly toolFormat: ToolFormat;
}

/** The reader of a format; undefined: plain text. */
export function messageReader(
  format: MessageFormat | undefined,
  { opensReasoning, callId, toolFormat }: MessageContext,
): MessageReader {
  const hasTools = format !== undefined && format.tools.length > 0;
  const text: MessageReader = hasTools
    ? new ToolCallReader(format, toolFormat, callId)
    : { push: plainText, end: () => [] };
  return format?.reasoning === true ? new ReasoningReader(text, opensReasoning) : text;
}

function plainText(text: string): readonly MessageDelta[] {
  return text === "" ? [] : [{ kind: "text", text }];
}

/** A message of its parts. */
export function messageOf(deltas: Iterable<MessageDelta>): Pick<AnsweredChoice, "text" | "reasoning" | "toolCalls"> {
  let text = "";
  let reasoning: string | undefined;
  const toolCalls: { id: string; name: string; arguments: string }[] = [];
  for (const delta of deltas) {
    if (delta.kind === "text") text += delta.text;
    if (delta.kind === "reasoning") reasoning = (reasoning ?? "") + delta.text;
    if (delta.kind === "tool-call") toolCalls[delta.index] = { id: delta.id, name: delta.name, arguments: "" };
    if (delta.kind !== "tool-arguments") continue;
    const call = toolCalls[delta.index];
    if (call === undefined) throw new Error(`arguments of call ${delta.index} come before its name`);
    call.arguments += delta.text;
  }
  return { text, reasoning, toolCalls };
}
