import Anthropic from "@anthropic-ai/sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type StartedServer, startServer, textOfRun, tiny } from "../support/started-server.ts";

const prompt = "Count to 7";
const request = {
  model: tiny.name,
  max_tokens: 24,
  temperature: 0,
  messages: [{ role: "user" as const, content: prompt }],
};
const lookUp = {
  name: "look_up",
  description: "Weather of a city",
  input_schema: {
    type: "object" as const,
    properties: { city: { type: "string", enum: ["Paris", "Rome"] } },
    required: ["city"],
    additionalProperties: false,
  },
};

let server: StartedServer;
let client: Anthropic;
let text: string;
beforeAll(async () => {
  server = await startServer([tiny.path]);
  client = new Anthropic({ baseURL: server.url, apiKey: "none", maxRetries: 0 });
  text = await textOfRun(tiny.path, prompt, request.max_tokens);
});
afterAll(async () => server.stop());

describe("@anthropic-ai/sdk", () => {
  it("creates a message", async () => {
    const message = await client.messages.create(request);
    expect(message).toMatchObject({ type: "message", role: "assistant", stop_reason: "max_tokens" });
    expect(message.content).toEqual([expect.objectContaining({ type: "text", text })]);
    expect(message.usage.output_tokens).toBe(24);
    const counted = await client.messages.countTokens({ model: tiny.name, messages: request.messages });
    const { input_tokens: read, cache_read_input_tokens: cached } = message.usage;
    expect(counted.input_tokens).toBe(read + (cached ?? 0));
  });

  it("streams with the stream helper", async () => {
    const deltas: string[] = [];
    const stream = client.messages.stream(request).on("text", (delta) => void deltas.push(delta));
    const message = await stream.finalMessage();
    expect(deltas.join("")).toBe(text);
    expect(message.content).toEqual([expect.objectContaining({ type: "text", text })]);
    expect(message.stop_reason).toBe("max_tokens");
    expect(message.usage.output_tokens).toBe(24);
  });

  it("takes system, content blocks and stop sequences", async () => {
    const stop = [...text].slice(4, 6).join("");
    const stopped = await client.messages.create({
      ...request,
      messages: [{ role: "user", content: [{ type: "text", text: prompt }] }],
      stop_sequences: [stop],
    });
    expect(stopped).toMatchObject({ stop_reason: "stop_sequence", stop_sequence: stop });
    expect(stopped.content).toEqual([expect.objectContaining({ text: text.slice(0, text.indexOf(stop)) })]);
    const other = await client.messages.create({ ...request, system: [{ type: "text", text: "Be brief." }] });
    expect(other.content).not.toEqual(stopped.content);
  });

  it("calls tools, streamed or not, and takes their results", async () => {
    const calling = { ...request, max_tokens: 400, tools: [lookUp], tool_choice: { type: "any" as const } };
    const message = await client.messages.create(calling);
    const call = message.content.find((block) => block.type === "tool_use");
    expect(message.stop_reason).toBe("tool_use");
    expect(call).toMatchObject({ name: "look_up", input: { city: expect.stringMatching(/^(Paris|Rome)$/) } });
    const streamed = await client.messages.stream(calling).finalMessage();
    expect(streamed.content.find((block) => block.type === "tool_use")?.input).toEqual(call?.input);
    const after = await client.messages.create({
      ...request,
      tools: [lookUp],
      messages: [
        ...request.messages,
        { role: "assistant", content: message.content },
        { role: "user", content: [{ type: "tool_result", tool_use_id: call?.id ?? "", content: "sunny" }] },
      ],
    });
    expect(after.role).toBe("assistant");
  });

  it("sees typed errors", async () => {
    const missing = client.messages.create({ ...request, model: "absent" });
    await expect(missing).rejects.toBeInstanceOf(Anthropic.NotFoundError);
    await expect(missing).rejects.toMatchObject({ error: { type: "error", error: { type: "not_found_error" } } });
    const wrong = client.messages.create({ ...request, max_tokens: -1, stream: true });
    await expect(wrong).rejects.toBeInstanceOf(Anthropic.BadRequestError);
    const locked = await startServer([tiny.path, "--api-key", "correct-horse"]);
    try {
      const as = (apiKey: string) => new Anthropic({ baseURL: locked.url, apiKey, maxRetries: 0 });
      await expect(as("wrong-horse").messages.create(request)).rejects.toBeInstanceOf(Anthropic.AuthenticationError);
      expect((await as("correct-horse").messages.create(request)).role).toBe("assistant");
    } finally {
      await locked.stop();
    }
  });
});
