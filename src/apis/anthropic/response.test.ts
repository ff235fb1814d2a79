import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { answerOfDeltas, messageDeltas } from "../../../test/support/answer-events.ts";
import type { MessageDelta } from "../../answer/types.ts";
import { MessageBuilder, type MessagesEvent } from "./response.ts";

const context = { id: "1", model: "m", asked: { ignored: [], rounds: false } };

function run(deltas: readonly MessageDelta[], ending?: Parameters<typeof answerOfDeltas>[1]) {
  const { events, answer } = answerOfDeltas(deltas, ending);
  const builder = new MessageBuilder(context);
  const streamed = [...events.flatMap((event) => builder.push(event)), ...builder.end(answer)];
  return { streamed, body: builder.body(answer) as { content: unknown[] } & Record<string, unknown> };
}

type Block = { type: string; text?: string; thinking?: string; input?: unknown; json?: string };

/** The message that a client makes of a stream. */
function accumulated(streamed: readonly MessagesEvent[]) {
  const content: Block[] = [];
  let message: Record<string, unknown> = {};
  for (const { event, data } of streamed) {
    expect(data.type).toBe(event);
    const block = content[data.index as number];
    const delta = data.delta as { type?: string; text: string; thinking: string; partial_json: string };
    if (event === "message_start") message = { ...(data.message as object) };
    else if (event === "content_block_start") {
      expect(data.index).toBe(content.length);
      content.push({ ...(data.content_block as Block) });
    } else if (event === "content_block_delta" && block !== undefined) {
      if (delta.type === "text_delta") block.text += delta.text;
      else if (delta.type === "thinking_delta") block.thinking += delta.thinking;
      else if (delta.type === "input_json_delta") block.json = (block.json ?? "") + delta.partial_json;
    } else if (event === "message_delta") {
      const { stop_reason, stop_sequence } = data.delta as Record<string, unknown>;
      message = { ...message, stop_reason, stop_sequence, usage: data.usage, idlm: data.idlm };
    }
  }
  const read = content.map(({ json, ...block }) =>
    json === undefined ? block : { ...block, input: JSON.parse(json) },
  );
  return { ...message, content: read };
}

describe("MessageBuilder", () => {
  it("streams the message that it writes unstreamed", () => {
    fc.assert(
      fc.property(messageDeltas, (deltas) => {
        const { streamed, body } = run(deltas);
        expect(accumulated(streamed)).toEqual(body);
      }),
    );
  });

  it("has the API's form", () => {
    const { streamed, body } = run(
      [
        { kind: "reasoning", text: "hm" },
        { kind: "text", text: "I look." },
        { kind: "tool-call", index: 0, id: "toolu_1", name: "add" },
        { kind: "tool-arguments", index: 0, text: '{"a":1}' },
      ],
      { finishReason: "tool_calls" },
    );
    expect(streamed.map(({ event }) => event)).toEqual([
      ...["message_start", "ping"],
      ...["content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"],
      ...["content_block_start", "content_block_delta", "content_block_stop"],
      ...["content_block_start", "content_block_delta", "content_block_stop"],
      ...["message_delta", "message_stop"],
    ]);
    expect(body).toMatchObject({
      ...{ id: "msg_1", type: "message", role: "assistant", model: "m", stop_reason: "tool_use", stop_sequence: null },
      content: [
        { type: "thinking", thinking: "hm", signature: "" },
        { type: "text", text: "I look." },
        { type: "tool_use", id: "toolu_1", name: "add", input: { a: 1 } },
      ],
      usage: { input_tokens: 7, cache_read_input_tokens: 2, output_tokens: 3 },
      idlm: { verify: "exact", lossless: true },
    });
    expect(body.idlm).not.toHaveProperty("ignored");
  });

  it("says why the text ended", () => {
    const reasonOf = (ending: Parameters<typeof answerOfDeltas>[1]) => {
      const { stop_reason, stop_sequence } = run([{ kind: "text", text: "a" }], ending).body;
      return [stop_reason, stop_sequence];
    };
    expect(reasonOf({ finishReason: "stop", endToken: 1 })).toEqual(["end_turn", null]);
    expect(reasonOf({ finishReason: "stop", stopString: "END" })).toEqual(["stop_sequence", "END"]);
    expect(reasonOf({ finishReason: "length" })).toEqual(["max_tokens", null]);
    expect(reasonOf({ finishReason: "cancelled" })).toEqual(["max_tokens", null]);
  });

  it("sends records of rounds where clients do not look", () => {
    const builder = new MessageBuilder(context);
    const round = { forward: 1 } as never;
    expect(builder.push({ kind: "round", choice: 0, round })).toEqual([
      { event: "ping", data: { type: "ping", idlm: { round } } },
    ]);
  });
});
