import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readChatterbot, readChitchat } from "./human-packages.ts";
import { humanText } from "./human-prompts.ts";

const folder = mkdtempSync(join(tmpdir(), "idlm-human-"));
afterAll(() => rmSync(folder, { recursive: true }));
const made = (name: string, content: string) => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};

describe("conversations of packages", () => {
  it("has a turn for all that one person wrote in a row", () => {
    const message = (text: string) => ({ text, sender: "x", timestamp: "y" });
    const chat = { ratings: {}, messages: [[message("Hi  there!\n"), message("How are you?")], [message("Fine.")]] };
    expect(readChitchat(made("a.json", JSON.stringify({ one: chat, two: { messages: [] } })))).toEqual([
      { id: "chitchat/one", turns: ["Hi there! How are you?", "Fine."] },
      { id: "chitchat/two", turns: [] },
    ]);
  });

  it("reads dialogues in YAML: folded and quoted texts, numbers, entries without an answer", async () => {
    const yaml = `categories:
- x
conversations:
- - What is a forest,
    and where?
  - 'Trees: many'
- - How many?
  - 42
- Only this
- - What is a forest, and where?
  - |
    Two
    lines
`;
    const found = await readChatterbot(made("b.yml", yaml), "trees");
    expect(found.map(({ turns }) => turns)).toEqual([
      ["What is a forest, and where?", "Trees: many"],
      ["How many?", "42"],
      ["Only this"],
      ["What is a forest, and where?", "Two lines"],
    ]);
    // One group: they are never in different splits.
    expect(found[0]?.id).toBe(found[3]?.id);
  });

  it.each([
    ["[]", /expected a JSON object/],
    ['{"a":{"messages":[[{"text":1}]]}}', /a: expected messages: a list of turns/],
    ['{"a":null}', /a: expected messages/],
  ])("rejects %s", (content, message) => {
    expect(() => readChitchat(made("c.json", content))).toThrow(message);
  });

  it.each([
    ["a: [", /expected YAML/],
    ["conversations: 7", /expected a list of conversations/],
    ["", /expected a list of conversations/],
  ])("rejects %j", async (content, message) => {
    await expect(readChatterbot(made("d.yml", content), "x")).rejects.toThrow(message);
  });
});

describe("humanText", () => {
  it("sorts turns, and leaves out what is short, repeated, or has an address", () => {
    const { openings, questions, chats, messages, conversations, nDropped } = humanText([
      { id: "a", turns: ["hi", "What did you do at the weekend?"] },
      { id: "b", turns: ["I went to see my sister", "Did you like it there?", "Yes, very much", "Good for you!"] },
      { id: "c", turns: ["I went to see my sister!", "Call me at 5551234567, will you please?"] },
      { id: "d", turns: ["Write to me@example.org today"] },
    ]);
    const first = (prompts: typeof openings) => prompts.map(({ opening }) => opening[0]?.content);
    expect(first(openings)).toEqual(["I went to see my sister"]);
    expect(first(questions)).toEqual(["What did you do at the weekend?", "Did you like it there?"]);
    expect(chats).toMatchObject([{ group: "b", further: ["Yes, very much"] }]);
    expect({ messages, conversations }).toEqual({ messages: [], conversations: [] });
    expect(nDropped).toEqual({ short: 1, long: 0, repeated: 1, address: 2 });
  });
});
