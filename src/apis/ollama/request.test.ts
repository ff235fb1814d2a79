import { describe, expect, it } from "vitest";
import { invalidField } from "../../../test/support/invalid-field.ts";
import { type OllamaEndpoint, readOllamaRequest } from "./request.ts";

const messages = [{ role: "user", content: "hi" }];
const read = (body: object, endpoint: OllamaEndpoint = "chat") =>
  readOllamaRequest(endpoint, { model: "m", ...(endpoint === "chat" && { messages }), ...body }, () => 100);
const requestOf = (body: object, endpoint?: OllamaEndpoint) => read(body, endpoint).answer?.requests[0];

const failed = (body: object, endpoint?: OllamaEndpoint) => invalidField(() => read(body, endpoint));

describe("readOllamaRequest", () => {
  it("lists unknown keys at any depth", () => {
    const tools = [{ type: "function", y: 1, function: { name: "add", z: 1 } }];
    const { answer } = read({ messages: [{ role: "user", content: "hi", x: 1 }], tools });
    expect(answer?.ignored).toEqual(["tools[0].y", "tools[0].function.z", "messages[0].x"]);
  });

  it("takes extreme values that the API allows", () => {
    const options = { temperature: 1e-9, top_p: 0, top_k: -1, num_predict: 2 ** 60 };
    expect(requestOf({ options })).toMatchObject({
      ...{ temperature: 1e-6, topP: 1e-30, topK: 0, maxTokens: Number.MAX_SAFE_INTEGER },
    });
    expect(Number.isSafeInteger(requestOf({ options: { seed: 2 ** 62 } })?.seed)).toBe(true);
    expect(requestOf({ options: { seed: -1 } })?.seed).toBeUndefined();
    expect(failed({ options: { top_p: 1.1 } })).toBe("options.top_p");
  });

  it("reads all settings", () => {
    const options = {
      ...{ temperature: 0.5, top_k: 5, top_p: 0.9, min_p: 0.1, seed: 7, num_predict: 8, num_ctx: 64, stop: ["a"] },
      ...{ repeat_penalty: 1.1, presence_penalty: 1, frequency_penalty: 2, repeat_last_n: -1, num_thread: 4, other: 1 },
    };
    const tools = [
      { type: "function", function: { name: "add", description: "adds", parameters: { type: "object" } } },
    ];
    const { answer, model, stream, keepAliveSeconds } = read({
      ...{ model: "m:latest", stream: false, options, tools, think: "low", keep_alive: "1h30m" },
      ...{ logprobs: true, top_logprobs: 2, idlm: { priority: 1 } },
    });
    expect([model, stream, keepAliveSeconds, answer?.ignored]).toEqual(["m", false, 5400, ["options.other"]]);
    expect(answer?.requests).toMatchObject([
      {
        ...{
          messages,
          temperature: 0.5,
          topK: 5,
          topP: 0.9,
          minP: 0.1,
          seed: 7,
          maxTokens: 8,
          context: 64,
          stop: ["a"],
        },
        ...{ repetitionPenalty: 1.1, presencePenalty: 1, frequencyPenalty: 2, logprobs: 2, priority: 1 },
        ...{ templateArguments: { enable_thinking: true, reasoning_effort: "low" } },
      },
    ]);
    expect(answer?.format?.tools).toMatchObject([{ name: "add", description: "adds" }]);
  });

  it("has the API's defaults; null is absence", () => {
    expect(requestOf({})).toMatchObject({ temperature: 0.8, seed: undefined, maxTokens: undefined });
    expect(requestOf({ temperature: 0.3 })).toMatchObject({ temperature: 0.3 });
    expect(requestOf({ options: { num_predict: -1, seed: -1, num_ctx: 4096 } })).toMatchObject({
      ...{ seed: undefined, maxTokens: undefined, context: 100 },
    });
    expect(read({}).stream).toBe(true);
    expect(read({ options: null, tools: null, format: null, think: null, keep_alive: null })).toEqual(read({}));
    expect(requestOf({ format: "" })).toEqual(requestOf({}));
  });

  it("reads the format", () => {
    expect(requestOf({ format: "json" })?.grammar).toEqual({ kind: "json" });
    expect(requestOf({ format: { type: "object" } })?.grammar).toEqual({ kind: "schema", schema: { type: "object" } });
  });

  it("reads a conversation with tools", () => {
    const conversation = [
      { role: "system", content: "Add." },
      {
        ...{ role: "assistant", content: "", thinking: "hm" },
        tool_calls: [{ function: { name: "add", arguments: { a: 1 } } }],
      },
      { role: "tool", content: "2", tool_name: "add" },
    ];
    expect(requestOf({ messages: conversation })?.messages).toEqual([
      { role: "system", content: "Add." },
      { role: "assistant", content: "", reasoning: "hm", toolCalls: [{ name: "add", arguments: { a: 1 } }] },
      { role: "tool", content: "2", name: "add" },
    ]);
  });

  it("reads prompts", () => {
    expect(requestOf({ prompt: "a", system: "Be brief." }, "generate")?.messages).toEqual([
      { role: "system", content: "Be brief." },
      { role: "user", content: "a" },
    ]);
    const raw = read({ prompt: "a", raw: true }, "generate").answer;
    expect([raw?.requests[0]?.prompt, raw?.requests[0]?.messages, raw?.format]).toEqual(["a", undefined, undefined]);
    expect(read({ prompt: "", keep_alive: 0 }, "generate")).toMatchObject({ answer: undefined, keepAliveSeconds: 0 });
    expect(read({ messages: [], keep_alive: -1 }).keepAliveSeconds).toBe(Number.POSITIVE_INFINITY);
  });

  it.each<[object, string, OllamaEndpoint?]>([
    [{ messages: [{ role: "user", content: "a", images: ["x"] }] }, "messages[0].images"],
    [{ messages: [{ role: "developer" }] }, "messages[0].role"],
    [{ messages: [{ role: "assistant", tool_calls: [{ function: {} }] }] }, "messages[0].tool_calls[0].function.name"],
    [{ options: { mirostat: 2 } }, "options.mirostat"],
    [{ options: { repeat_penalty: 1.1, repeat_last_n: 64 } }, "options.repeat_last_n"],
    [{ options: { temperature: "x" } }, "options.temperature"],
    [{ format: "xml" }, "format"],
    [{ keep_alive: "soon" }, "keep_alive"],
    [{ min_tokens: 1 }, "min_tokens"],
    [{ tools: [{ type: "function", function: {} }] }, "tools[0].function.name"],
    [{ prompt: "a", suffix: "b" }, "suffix", "generate"],
    [{ prompt: "a", template: "{{ .Prompt }}" }, "template", "generate"],
    [{ prompt: "a", context: [1] }, "context", "generate"],
    [{ prompt: "a", raw: true, system: "s" }, "system", "generate"],
    [{ prompt: "a", images: ["x"] }, "images", "generate"],
  ])("names the key that is wrong: %j", (body, path, endpoint) => {
    expect(failed(body, endpoint)).toBe(path);
  });
});
