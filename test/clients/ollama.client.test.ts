import { Ollama } from "ollama";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type StartedServer, startServer, textOfRun, tiny } from "../support/started-server.ts";

const prompt = "Count to 7";
const messages = [{ role: "user", content: prompt }];
const request = { model: tiny.name, messages, options: { temperature: 0, num_predict: 24 } };

let server: StartedServer;
let client: Ollama;
let text: string;
beforeAll(async () => {
  server = await startServer([tiny.path]);
  client = new Ollama({ host: server.url });
  text = await textOfRun(tiny.path, prompt, 24);
});
afterAll(async () => server.stop());

describe("ollama", () => {
  it("lists and shows models", async () => {
    const { models } = await client.list();
    expect(models[0]?.name).toMatch(new RegExp(`^${tiny.name}(:latest)?$`));
    expect((await client.ps()).models.length).toBe(1);
    const shown = await client.show({ model: tiny.name });
    expect(shown.details.family).toBe("llama");
    expect((await client.version()).version).toMatch(/^\d/);
  });

  it("chats, streamed or not", async () => {
    const whole = await client.chat(request);
    expect(whole.message).toMatchObject({ role: "assistant", content: text });
    expect(whole).toMatchObject({ done: true, done_reason: "length", eval_count: 24 });
    let streamed = "";
    let last: { done: boolean; eval_count: number } | undefined;
    for await (const part of await client.chat({ ...request, stream: true })) {
      streamed += part.message.content;
      last = part;
    }
    expect(streamed).toBe(text);
    expect(last).toMatchObject({ done: true, eval_count: 24 });
    // Ollama's own clients name models with a tag.
    expect((await client.chat({ ...request, model: `${tiny.name}:latest` })).message.content).toBe(text);
  });

  it("generates, with the template or raw", async () => {
    const { options, model } = request;
    expect((await client.generate({ model, prompt, options })).response).toBe(text);
    const raw = await client.generate({ model, prompt: "the sea is", raw: true, options });
    let streamed = "";
    for await (const part of await client.generate({ model, prompt: "the sea is", raw: true, options, stream: true })) {
      streamed += part.response;
    }
    expect(streamed).toBe(raw.response);
    expect(raw.response).not.toBe(text);
  });

  it("answers by a JSON schema", async () => {
    const format = {
      type: "object",
      properties: { sky: { enum: ["clear", "cloudy"] }, wet: { type: "boolean" } },
      required: ["sky", "wet"],
      additionalProperties: false,
    };
    const answer = await client.chat({ ...request, format, options: { temperature: 0, num_predict: 200 } });
    expect(JSON.parse(answer.message.content)).toEqual({
      sky: expect.stringMatching(/^(clear|cloudy)$/),
      wet: expect.any(Boolean),
    });
  });

  it("takes tools and their results", async () => {
    const tools = [
      {
        type: "function",
        function: {
          name: "look_up",
          description: "Weather of a city",
          parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
        },
      },
    ];
    const called = {
      role: "assistant",
      content: "",
      tool_calls: [{ function: { name: "look_up", arguments: { city: "Rome" } } }],
    };
    const result = { role: "tool", tool_name: "look_up", content: "sunny" };
    const answer = await client.chat({ ...request, tools, messages: [...messages, called, result] });
    expect(answer.message.role).toBe("assistant");
  });

  it("aborts a stream", async () => {
    const stream = await client.chat({ ...request, options: { temperature: 0, num_predict: 400 }, stream: true });
    await expect(
      (async () => {
        for await (const _ of stream) stream.abort();
      })(),
    ).rejects.toThrow(/abort/i);
    expect((await client.chat(request)).message.content).toBe(text);
  });

  it("sees errors", async () => {
    await expect(client.chat({ ...request, model: "absent" })).rejects.toMatchObject({ status_code: 404 });
    await expect(client.embed({ model: tiny.name, input: "a" })).rejects.toMatchObject({ status_code: 501 });
  });
});
