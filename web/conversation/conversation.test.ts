import { describe, expect, it } from "vitest";
import type { WireRound } from "../api/wire.ts";
import { Answer } from "./answer.ts";
import { type Conversation, chatBody, newConversation, withMessages } from "./conversation.ts";
import { defaultSettings, jsonProblem } from "./settings.ts";
import { ConversationStorage, exportText, importText, type KeyValues } from "./storage.ts";

const round: WireRound = {
  ...{ forward: 0, ms: 3, rows: 1, proposals: [] },
  tokens: [{ id: 5, text: "Hello", source: "drawn", depth: 0 }],
};

function answered(content = "Hello"): Answer {
  const answer = new Answer();
  answer.apply({ choices: [{ delta: { content } }], idlm: { round } });
  answer.end("done");
  return answer;
}

const conversation = (id: string, changedAt = 1): Conversation =>
  withMessages(
    newConversation(id),
    [
      { role: "user", content: "Say hello." },
      { role: "assistant", answer: answered() },
    ],
    changedAt,
  );

/** A storage with room for so many characters. */
function storage(room = Number.POSITIVE_INFINITY): KeyValues {
  const values = new Map<string, string>();
  return {
    get length() {
      return values.size;
    },
    key: (i) => [...values.keys()][i] ?? null,
    getItem: (key) => values.get(key) ?? null,
    setItem: (key, value) => {
      const others = [...values].filter(([other]) => other !== key).reduce((sum, [, text]) => sum + text.length, 0);
      if (others + value.length > room) throw new DOMException("full", "QuotaExceededError");
      values.set(key, value);
    },
    removeItem: (key) => void values.delete(key),
  };
}

describe("chatBody", () => {
  it("sends only what was set", () => {
    expect(
      chatBody([{ role: "user", content: "Hi" }], { ...defaultSettings, logprobs: false }, { model: "m" }),
    ).toEqual({
      model: "m",
      messages: [{ role: "user", content: "Hi" }],
      stream: true,
      stream_options: { include_usage: true },
      idlm: { rounds: true },
    });
  });

  it("has system prompt, settings, schema, tools, calls and their results", () => {
    const asked = new Answer();
    asked.apply({
      choices: [{ delta: { tool_calls: [{ index: 0, id: "c", function: { name: "f", arguments: "{" } }] } }],
    });
    asked.apply({ choices: [{ delta: { tool_calls: [{ index: 0, function: { arguments: "}" } }] } }] });
    const settings = {
      ...{ system: "Be brief.", numbers: { temperature: 0 }, choices: { verify: "relaxed" } },
      ...{ schema: '{"type":"object"}', tools: "[1]", logprobs: true },
    };
    const messages = [
      { role: "assistant", answer: asked },
      { role: "tool", content: "4", callId: "c" },
    ] as const;
    expect(chatBody(messages, settings, { model: "m", overrides: { propose: "none" } })).toMatchObject({
      messages: [
        { role: "system", content: "Be brief." },
        { role: "assistant", tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: "{}" } }] },
        { role: "tool", tool_call_id: "c", content: "4" },
      ],
      ...{ temperature: 0, verify: "relaxed", propose: "none", tools: [1], top_logprobs: 5 },
      response_format: { json_schema: { schema: { type: "object" } } },
    });
  });
});

describe("Answer", () => {
  it("knows which token each part of the text is", () => {
    expect(answered().spans).toEqual([{ start: 0, end: 5, token: 0 }]);
  });

  it("survives storing; one that was running is then stopped", () => {
    const answer = new Answer();
    answer.apply({ choices: [{ delta: { content: "Hello" } }], idlm: { round } });
    const again = Answer.from(JSON.parse(JSON.stringify(answer)));
    expect(again).toMatchObject({ content: "Hello", status: "stopped", rounds: [round], roundOf: [0] });
    expect(again.spans).toEqual(answer.spans);
  });
});

describe("ConversationStorage", () => {
  it("keeps conversations and drafts until they are deleted", () => {
    const values = storage();
    const saved = new ConversationStorage(values);
    saved.save(conversation("a", 1));
    saved.save(conversation("b", 2));
    saved.saveDraft("a", "typed");
    const again = new ConversationStorage(values);
    expect(again.load().map(({ id, title }) => [id, title])).toEqual([
      ["b", "Say hello."],
      ["a", "Say hello."],
    ]);
    expect(again.draft("a")).toBe("typed");
    again.delete("a");
    expect([again.load().length, again.draft("a")]).toEqual([1, ""]);
  });

  it("drops rounds of old conversations, never texts, if there is no room", () => {
    const size = JSON.stringify(conversation("a")).length;
    const saved = new ConversationStorage(storage(Math.floor(size * 1.8)));
    expect(saved.save(conversation("a", 1))).toBe(true);
    expect(saved.save(conversation("b", 2))).toBe(true);
    const [newer, older] = saved.load().map(({ messages }) => messages[1]);
    expect(newer).toMatchObject({ answer: { content: "Hello", rounds: [round] } });
    expect(older).toMatchObject({ answer: { content: "Hello", rounds: [] } });
    expect(new ConversationStorage(storage(10)).save(conversation("c"))).toBe(false);
  });

  it("leaves what it cannot read", () => {
    const values = storage();
    values.setItem("idlm.conversation.x", "{");
    values.setItem("other", "1");
    expect(new ConversationStorage(values).load()).toEqual([]);
    expect(values.length).toBe(2);
  });
});

describe("files", () => {
  it("are read as they were written", () => {
    const all = [conversation("a"), newConversation("b", { ...defaultSettings, numbers: { seed: 3 } })];
    const read = importText(exportText(all));
    expect(JSON.parse(JSON.stringify(read))).toEqual(JSON.parse(JSON.stringify(all)));
  });

  it("say what is wrong with them", () => {
    expect(() => importText("{")).toThrow("not JSON");
    expect(() => importText("{}")).toThrow("not exported by this page");
    const one = '{"format":"idlm-conversations","conversations":[{"id":"a","messages":[{"role":"x"}]}]}';
    expect(() => importText(one)).toThrow("Conversation 1 of the file is malformed.");
  });

  it("may have rounds in a form that is not understood: the text is kept", () => {
    const messages = [{ role: "assistant", answer: { content: "Hi", rounds: [{ tokens: 1 }] } }];
    const [read] = importText(JSON.stringify({ format: "idlm-conversations", conversations: [{ id: "a", messages }] }));
    expect(read?.messages[0]).toMatchObject({ answer: { content: "Hi", rounds: [] } });
  });
});

describe("jsonProblem", () => {
  it("says what is wrong with a field", () => {
    expect(jsonProblem(" ", "object")).toBeUndefined();
    expect(jsonProblem("{}", "object")).toBeUndefined();
    expect(jsonProblem("[]", "object")).toBe("Expected a JSON object.");
    expect(jsonProblem("{}", "list")).toBe("Expected a JSON list.");
    expect(jsonProblem("{", "list")).toMatch(/^Not JSON: /);
  });
});
