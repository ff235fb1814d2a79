import { describe, expect, it } from "vitest";
import { readMessages } from "./messages.ts";

const read = (value: unknown) =>
  readMessages(value, (path, expected, found) => new Error(`${path}: expected ${expected}, found ${found}`));
/** Lists in lists. */
const nested = (levels: number) => {
  let list: unknown[] = [];
  for (let i = 1; i < levels; i++) list = [list];
  return list;
};
const user = (content: unknown) => ({ role: "user", content });

describe("readMessages", () => {
  it("returns a copy of a conversation", () => {
    const messages = ["system", "user", "assistant", "tool"].map((role) => ({ role, content: role }));
    expect(read(messages)).toEqual(messages);
    expect(read(messages)[0]).not.toBe(messages[0]);
    const calls = [
      { id: "1", name: "f", arguments: { a: [1] } },
      { name: "g", arguments: "{}" },
    ];
    const call = { role: "assistant", content: "", reasoning: "think", toolCalls: calls };
    const conversation = [{ ...user("hi"), name: "ann" }, call, { role: "tool", content: "5", toolCallId: "1" }];
    expect(read(conversation)).toEqual(conversation);
  });

  it.each<[unknown, string]>([
    [undefined, ": expected an array of messages, found nothing"],
    [{}, ": expected an array of messages, found an object"],
    [[], ": expected 1 to 10000 messages, found 0"],
    [new Array(10_001).fill(user("a")), ": expected 1 to 10000 messages, found 10001"],
    [[user("a"), null], "[1]: expected an object with role and content, found null"],
    [[[]], "[0]: expected an object with role and content, found an array"],
    [
      [{ ...user("a"), nam: "b" }],
      '[0]: expected only the keys role, content, name, reasoning, toolCalls, toolCallId, found "nam"',
    ],
    [[{ ...user("a"), name: 5 }], "[0].name: expected a string, found 5"],
    [[{ ...user("a"), reasoning: [] }], "[0].reasoning: expected a string, found an array"],
    [[{ ...user("a"), toolCalls: {} }], "[0].toolCalls: expected an array of calls, found an object"],
    [[{ ...user("a"), toolCalls: [{ arguments: {} }] }], "[0].toolCalls[0].name: expected a string, found nothing"],
    [
      [{ ...user("a"), toolCalls: [{ name: "f", id: 1, arguments: {} }] }],
      "[0].toolCalls[0].id: expected a string, found 1",
    ],
    [
      [{ ...user("a"), toolCalls: [{ name: "f" }] }],
      "[0].toolCalls[0].arguments: expected JSON text or an object at most 64 levels deep, found nothing",
    ],
    [
      [{ ...user("a"), toolCalls: [{ name: "f", arguments: { deep: nested(70_000) } }] }],
      "[0].toolCalls[0].arguments: expected JSON text or an object at most 64 levels deep, found a deeper one",
    ],
    [[user("a"), { content: "b" }], "[1].role: expected one of system, user, assistant, tool, found nothing"],
    [[user(["a"])], "[0].content: expected a string, found an array"],
    [
      [user("a".repeat(2 ** 23)), user("b".repeat(2 ** 23)), user("c")],
      ": expected at most 16777216 characters in all messages, found more up to message 2",
    ],
  ])("refuses %.60j", (value, message) => {
    expect(() => read(value)).toThrow(new Error(message));
  });

  it("takes messages at its limits", () => {
    expect(read(new Array(10_000).fill(user(""))).length).toBe(10_000);
    expect(read([user("a".repeat(2 ** 24))]).length).toBe(1);
  });
});
