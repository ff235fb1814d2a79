import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { accepts, randomText, walkChoices, walkVocabulary } from "../../test/support/grammar-walk.ts";
import type { GrammarRequest } from "../grammar/grammar.ts";
import { Grammars } from "../grammar/grammars.ts";
import type { ToolFormat } from "../grammar/tool-calls.ts";
import { messageOf } from "./message-reader.ts";
import { ToolCallReader } from "./tool-calls.ts";
import { withCalls } from "./tool-grammar.ts";
import type { MessageFormat, Tool } from "./types.ts";

const weather: Tool = {
  name: "get_weather",
  parameters: {
    type: "object",
    properties: { city: { type: "string" }, days: { type: "integer" } },
    required: ["city"],
  },
  strict: true,
};
const now: Tool = { name: "now", strict: false };
const format: MessageFormat = { tools: [weather, now], toolChoice: "auto", parallel: true, reasoning: false };

function read(parts: readonly string[], own: MessageFormat = format, kind: ToolFormat = "hermes") {
  const reader = new ToolCallReader(own, kind, (index) => `call ${index}`);
  return messageOf([...parts.flatMap((part) => reader.push(part)), ...reader.end()]);
}

const call =
  '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo, {\\"x\\"} </tool_call>"}}\n</tool_call>';
const argumentsText = '{"city": "Oslo, {\\"x\\"} </tool_call>"}';

describe("calls of tools", () => {
  it.each<[string, string, string[][]]>([
    [`Let me see.\n${call}`, "Let me see.\n", [["get_weather", argumentsText]]],
    [
      `${call}\n<tool_call>{"name":"now","arguments":{}}</tool_call>\n`,
      "",
      [
        ["get_weather", argumentsText],
        ["now", "{}"],
      ],
    ],
    ['<tool_call>{"arguments": {"a": [1]}, "name": "now"}</tool_call>', "", [["now", '{"a":[1]}']]],
    ['<tool_call>{"name": "now", "arguments": "{\\"a\\": 1}"}</tool_call>', "", [["now", '"{\\"a\\": 1}"']]],
    ['<tool_call>{"name": "now"}</tool_call> done', " done", [["now", "{}"]]],
    [
      '<tool_call>{"name": "other", "arguments": {}}</tool_call>',
      '<tool_call>{"name": "other", "arguments": {}}</tool_call>',
      [],
    ],
    ["a <tool_call> b", "a <tool_call> b", []],
    ["<tool_cal", "<tool_cal", []],
    ['<tool_call>{"name": "get_weather", "arguments": {"city": "O', "", [["get_weather", '{"city": "O']]],
  ])("%j", (text, expected, calls) => {
    const message = read([text]);
    expect(message.text).toBe(expected);
    expect(message.toolCalls.map(({ name, arguments: own }) => [name, own])).toEqual(calls);
  });

  it.each<[string, string, string[][]]>([
    ['{"name": "now", "parameters": {}}', "", [["now", "{}"]]],
    [
      ' {"name": "now", "parameters": {"a": "}"}}; {"name": "now", "parameters": {}}',
      "",
      [
        ["now", '{"a": "}"}'],
        ["now", "{}"],
      ],
    ],
    ["It is late. {", "It is late. {", []],
    ['{"a": 1}', '{"a": 1}', []],
  ])("in Llama's format: %j", (text, expected, calls) => {
    const message = read([text], format, "llama");
    expect(message.text).toBe(expected);
    expect(message.toolCalls.map(({ name, arguments: own }) => [name, own])).toEqual(calls);
  });

  it("with parallel calls off only the first counts", () => {
    expect(read([`${call}\n${call}`], { ...format, parallel: false }).toolCalls).toHaveLength(1);
  });

  it("are the same however the text is split", () => {
    const piece = fc.constantFrom(
      ...[
        "<tool_call>",
        "</tool_call>",
        "\n",
        " ",
        "{",
        "}",
        '"',
        "\\",
        '{"name": "now", "arguments": ',
        '{"name": "now", "parameters": ',
      ],
      ...[
        "{}",
        '{"a": "b"}',
        "12",
        "text",
        "<",
        "<tool",
        ";",
        '{"name": "x", "arguments": {}}',
        call,
        '"name": "now"',
        '"arguments": {}',
      ],
    );
    let calls = 0;
    fc.assert(
      fc.property(
        ...[
          fc.array(piece, { maxLength: 12 }),
          fc.infiniteStream(fc.integer({ min: 1, max: 9 })),
          fc.constantFrom<ToolFormat>("hermes", "llama"),
          fc.boolean(),
        ],
        (pieces, sizes, kind, parallel) => {
          const text = pieces.join("");
          const parts: string[] = [];
          for (let at = 0; at < text.length; ) {
            const size = sizes.next().value as number;
            parts.push(text.slice(at, at + size));
            at += size;
          }
          const own = { ...format, parallel };
          const whole = read([text], own, kind);
          expect(read(parts, own, kind)).toEqual(whole);
          calls += whole.toolCalls.length;
        },
      ),
      { numRuns: 2000 },
    );
    expect(calls).toBeGreaterThan(100);
  });
});

describe("the grammar of calls", () => {
  const grammars = new Grammars(walkVocabulary);

  it.each<[ToolFormat, MessageFormat["toolChoice"], boolean]>([
    ["hermes", "required", true],
    ["hermes", "required", false],
    ["llama", "required", true],
    ["hermes", { name: "now" }, true],
    ["hermes", "auto", true],
    ["llama", "auto", true],
  ])(
    "%s, tool_choice %j, parallel %j: what it writes is read as calls with arguments of the schema",
    (kind, toolChoice, parallel) => {
      const own = { ...format, toolChoice, parallel };
      const request = withCalls(undefined, own, kind);
      if (request === undefined) throw new Error("no grammar");
      const { start } = grammars.compile(request);
      let calls = 0;
      fc.assert(
        fc.property(walkChoices, (choices) => {
          const text = randomText(start, choices);
          if (text === undefined) return;
          const message = read([text], own, kind);
          if (toolChoice !== "auto") {
            expect(message.text).toBe("");
            expect(message.toolCalls.length).toBeGreaterThan(0);
            if (!parallel || typeof toolChoice === "object") expect(message.toolCalls).toHaveLength(1);
          }
          for (const { name, arguments: given } of message.toolCalls) {
            calls++;
            const value = JSON.parse(given) as Record<string, unknown>;
            if (name === "now") expect(value).toEqual({});
            else expect(value).toMatchObject({ city: expect.any(String) });
            if (typeof toolChoice === "object") expect(name).toBe(toolChoice.name);
          }
        }),
        { numRuns: 50 },
      );
      if (toolChoice !== "auto") expect(calls).toBeGreaterThan(20);
    },
  );

  it("with a strict tool in auto, text is free up to a call", () => {
    const { start } = grammars.compile(withCalls(undefined, format) as GrammarRequest);
    const right = ["", "Hi <tool", `Let me see. ${call}`, `<<tool_call${call}\n${call}`];
    expect(right.filter((text) => !accepts(start, text))).toEqual([]);
    const wrong = ["<tool_call>", `${call} and`, '<tool_call>\n{"name": "get_weather", "arguments": {}}\n</tool_call>'];
    expect(wrong.filter((text) => accepts(start, text))).toEqual([]);
  });

  it("leaves text as it is where nothing demands it", () => {
    expect(withCalls(undefined, { ...format, tools: [now] })).toBeUndefined();
    expect(withCalls({ kind: "json" }, undefined)).toEqual({ kind: "json" });
    expect(withCalls(undefined, { ...format, toolChoice: "none" })).toBeUndefined();
  });

  it("refuses a strict tool whose schema cannot be enforced, and lets others write any object", () => {
    const parameters = { type: "object", not: {} };
    const request = (strict: boolean) =>
      withCalls(undefined, { ...format, toolChoice: "required", tools: [{ name: "a", parameters, strict }] });
    expect(() => grammars.compile(request(true) as never)).toThrow("tools[0].parameters.not");
    expect(() => grammars.compile(request(false) as never)).not.toThrow();
  });
});
