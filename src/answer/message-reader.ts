import type { AnsweredChoice, MessageDelta, MessageFormat, MessageReader } from "./types.ts";

/** The reader of a format; undefined: plain text. `callId`: id of the message's call with this index. */
export function messageReader(_format: MessageFormat | undefined, _callId: (index: number) => string): MessageReader {
  return { push: (text) => (text === "" ? [] : [{ kind: "text", text }]), end: () => [] };
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
