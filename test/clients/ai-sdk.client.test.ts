import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, stepCountIs, streamObject, streamText, tool } from "ai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { type StartedServer, startServer, textOfRun, tiny } from "../support/started-server.ts";

const prompt = "Count to 7";
/** Finite, so that a model without sense ends it, too. */
const Weather = z.object({ sky: z.enum(["clear", "cloudy"]), wet: z.boolean() });
const Place = z.object({ city: z.enum(["Paris", "Rome"]) });

let server: StartedServer;
let text: string;
beforeAll(async () => {
  server = await startServer([tiny.path]);
  text = await textOfRun(tiny.path, prompt, 24);
});
afterAll(async () => server.stop());

const model = () =>
  createOpenAICompatible({
    name: "idlm",
    baseURL: `${server.url}/v1`,
    includeUsage: true,
    supportsStructuredOutputs: true,
  }).chatModel(tiny.name);
const common = { prompt, temperature: 0, maxOutputTokens: 24, maxRetries: 0 };

describe("ai with @ai-sdk/openai-compatible", () => {
  it("generateText", async () => {
    const result = await generateText({ model: model(), ...common });
    expect(result.text).toBe(text);
    expect(result.finishReason).toBe("length");
    expect(result.usage.outputTokens).toBe(24);
  });

  it("streamText", async () => {
    const result = streamText({ model: model(), ...common });
    let streamed = "";
    for await (const part of result.textStream) streamed += part;
    expect(streamed).toBe(text);
    expect(await result.finishReason).toBe("length");
    expect((await result.usage).outputTokens).toBe(24);
  });

  it("generateObject and streamObject", async () => {
    const request = { model: model(), ...common, maxOutputTokens: 200, schema: Weather };
    const { object } = await generateObject(request);
    expect(Weather.parse(object)).toEqual(object);
    const stream = streamObject(request);
    for await (const _ of stream.partialObjectStream);
    expect(await stream.object).toEqual(object);
  });

  it("calls tools, and hands their results back", async () => {
    const places: unknown[] = [];
    const look = tool({
      description: "Weather of a city",
      inputSchema: Place,
      execute: (place) => {
        places.push(place);
        return "sunny";
      },
    });
    const request = {
      model: model(),
      ...common,
      maxOutputTokens: 400,
      tools: { look },
      toolChoice: "required" as const,
      stopWhen: stepCountIs(2),
    };
    const result = await generateText(request);
    expect(result.steps.map(({ finishReason }) => finishReason)).toEqual(["tool-calls", "tool-calls"]);
    expect(result.steps[0]?.toolResults[0]).toMatchObject({ toolName: "look", output: "sunny" });
    const stream = streamText(request);
    await stream.consumeStream();
    expect((await stream.steps).map(({ toolCalls }) => toolCalls.map(({ input }) => input))).toEqual(
      result.steps.map(({ toolCalls }) => toolCalls.map(({ input }) => input)),
    );
    expect(places.length).toBe(4);
    for (const place of places) expect(Place.safeParse(place).success).toBe(true);
  });

  it("sees errors", async () => {
    await expect(generateText({ model: model(), ...common, prompt: "word ".repeat(9000) })).rejects.toMatchObject({
      statusCode: 400,
    });
  });
});
