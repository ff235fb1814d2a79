import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { answerOfDeltas, messageDeltas } from "../../../test/support/answer-events.ts";
import type { MessageDelta } from "../../answer/types.ts";
import { OllamaBuilder, type OllamaObject } from "./response.ts";

const context = { model: "m", created: new Date(0), tokenizer: undefined, asked: { ignored: [], rounds: false } };

function run(deltas: readonly MessageDelta[], endpoint: "chat" | "generate" = "chat") {
  const { events, answer } = answerOfDeltas(deltas);
  const builder = new OllamaBuilder(endpoint, context);
  const streamed = [...events.flatMap((event) => builder.push(event)), builder.end(answer)];
  return { streamed, body: builder.body(answer), builder };
}

interface Message {
  readonly content: string;
  readonly thinking?: string;
  readonly tool_calls?: readonly unknown[];
}

describe("OllamaBuilder", () => {
  it("streams the message that it writes unstreamed", () => {
    fc.assert(
      fc.property(messageDeltas, (deltas) => {
        const { streamed, body } = run(deltas);
        const messages = streamed.map(({ message }) => message as Message);
        const whole = body.message as Message;
        expect(messages.map(({ content }) => content).join("")).toBe(whole.content);
        expect(messages.map(({ thinking = "" }) => thinking).join("")).toBe(whole.thinking ?? "");
        expect(messages.flatMap(({ tool_calls = [] }) => tool_calls)).toEqual(whole.tool_calls ?? []);
        expect(streamed.map(({ done }) => done)).toEqual([...Array(streamed.length - 1).fill(false), true]);
        const counts = ({ message: _, ...rest }: OllamaObject) => rest;
        expect(counts(streamed.at(-1) ?? {})).toEqual(counts(body));
      }),
    );
  });

  it("has the API's form", () => {
    const deltas: MessageDelta[] = [
      { kind: "reasoning", text: "hm" },
      { kind: "text", text: "I look." },
      { kind: "tool-call", index: 0, id: "c0", name: "add" },
      { kind: "tool-arguments", index: 0, text: '{"a":1}' },
      { kind: "tool-call", index: 1, id: "c1", name: "add" },
      { kind: "tool-arguments", index: 1, text: "{" },
    ];
    expect(run(deltas).body).toEqual({
      ...{ model: "m", created_at: "1970-01-01T00:00:00.000Z", done: true, done_reason: "stop" },
      message: {
        ...{ role: "assistant", content: "I look.", thinking: "hm" },
        tool_calls: [
          { id: "c0", function: { index: 0, name: "add", arguments: { a: 1 } } },
          { id: "c1", function: { index: 1, name: "add", arguments: {} } },
        ],
      },
      ...{ total_duration: 1e7, load_duration: 0, prompt_eval_count: 9, prompt_eval_duration: 4e6 },
      ...{ eval_count: 3, eval_duration: 6e6, idlm: { verify: "exact", lossless: true } },
    });
    const { streamed, body } = run(deltas.slice(1, 2), "generate");
    expect(body).toMatchObject({ response: "I look.", done: true });
    expect(streamed).toMatchObject([
      { response: "I look.", done: false },
      { response: "", done: true },
    ]);
  });
});
