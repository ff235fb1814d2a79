import { describe, expect, it } from "vitest";
import { readMessages } from "./messages.ts";

const read = (value: unknown) =>
  readMessages(value, (path, expected, found) => new Error(`${path}: expected ${expected}, found ${found}`));
const user = (content: unknown) => ({ role: "user", content });

describe("readMessages", () => {
  it("returns a copy of a conversation", () => {
    const messages = ["system", "user", "assistant", "tool"].map((role) => ({ role, content: role }));
    expect(read(messages)).toEqual(messages);
    expect(read(messages)[0]).not.toBe(messages[0]);
  });

  it.each<[unknown, string]>([
    [undefined, ": expected an array of messages, found nothing"],
    [{}, ": expected an array of messages, found an object"],
    [[], ": expected 1 to 10000 messages, found 0"],
    [new Array(10_001).fill(user("a")), ": expected 1 to 10000 messages, found 10001"],
    [[user("a"), null], "[1]: expected an object with role and content, found null"],
    [[[]], "[0]: expected an object with role and content, found an array"],
    [[{ ...user("a"), name: "b" }], '[0]: expected only the keys role and content, found "name"'],
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
