import OpenAI from "openai";
import { zodFunction, zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { type StartedServer, startServer, textOfRun, tiny } from "../support/started-server.ts";

const prompt = "Count to 7";
const messages = [{ role: "user" as const, content: prompt }];
const greedy = { model: tiny.name, temperature: 0, messages, max_tokens: 24 };
/** Finite, so that a model without sense ends it, too. */
const Weather = z.object({ sky: z.enum(["clear", "cloudy"]), wet: z.boolean() });
const Place = z.object({ city: z.enum(["Paris", "Rome"]) });

let server: StartedServer;
let client: OpenAI;
let text: string;
beforeAll(async () => {
  server = await startServer([tiny.path, "--alias", "gpt-4o-mini"]);
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
  text = await textOfRun(tiny.path, prompt, greedy.max_tokens);
});
afterAll(async () => server.stop());

describe("openai: chat", () => {
  it("lists and finds models", async () => {
    const ids: string[] = [];
    for await (const model of client.models.list()) ids.push(model.id);
    expect(ids[0]).toBe(tiny.name);
    expect((await client.models.retrieve(tiny.name)).id).toBe(tiny.name);
    expect((await client.models.retrieve("gpt-4o-mini")).object).toBe("model");
  });

  it("answers with the text of idlm run", async () => {
    const whole = await client.chat.completions.create(greedy);
    expect(whole.choices[0]?.message).toMatchObject({ role: "assistant", content: text });
    expect(whole.usage?.completion_tokens).toBe(24);
    expect(whole.choices[0]?.finish_reason).toBe("length");
    const alias = await client.chat.completions.create({ ...greedy, model: "gpt-4o-mini" });
    expect(alias.choices[0]?.message.content).toBe(text);
  });

  it("streams chunks that add up", async () => {
    const stream = await client.chat.completions.create({
      ...greedy,
      stream: true,
      stream_options: { include_usage: true },
    });
    let streamed = "";
    const finished: unknown[] = [];
    let usage: unknown;
    for await (const chunk of stream) {
      for (const { delta, finish_reason: reason } of chunk.choices) {
        streamed += delta.content ?? "";
        if (reason !== null) finished.push(reason);
      }
      usage = chunk.usage ?? usage;
    }
    expect(streamed).toBe(text);
    expect(finished).toEqual(["length"]);
    expect(usage).toMatchObject({ completion_tokens: 24 });
  });

  it("works with the stream helper and its events", async () => {
    const deltas: string[] = [];
    const stream = client.chat.completions.stream(greedy).on("content", (delta) => void deltas.push(delta));
    const final = await stream.finalChatCompletion();
    expect(deltas.join("")).toBe(text);
    expect(final.choices[0]?.message.content).toBe(text);
  });

  it("gives n choices, stops and log-probabilities", async () => {
    const several = await client.chat.completions.create({ ...greedy, temperature: 1, n: 3, seed: 5 });
    expect(several.choices.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(new Set(several.choices.map(({ message }) => message.content)).size).toBe(3);
    const stop = [...text].slice(4, 6).join("");
    const stopped = await client.chat.completions.create({ ...greedy, stop: [stop] });
    expect(stopped.choices[0]?.message.content).toBe(text.slice(0, text.indexOf(stop)));
    expect(stopped.choices[0]?.finish_reason).toBe("stop");
    const scored = await client.chat.completions.create({ ...greedy, logprobs: true, top_logprobs: 2 });
    const content = scored.choices[0]?.logprobs?.content ?? [];
    expect(content.length).toBe(24);
    for (const { logprob, top_logprobs: top } of content) {
      expect(top.length).toBe(2);
      expect(top[0]?.logprob).toBe(logprob); // Greedy: the drawn token is the most likely one.
    }
  });

  it("answers the completions form, streamed, too", async () => {
    const request = { model: tiny.name, prompt: "the sea is", max_tokens: 8, temperature: 0 };
    const whole = await client.completions.create({ ...request, logprobs: 1, echo: true });
    expect(whole.choices[0]?.text.startsWith("the sea is")).toBe(true);
    expect(whole.choices[0]?.logprobs?.token_logprobs?.[0]).toBe(null);
    let streamed = "";
    for await (const chunk of await client.completions.create({ ...request, stream: true })) {
      streamed += chunk.choices[0]?.text ?? "";
    }
    expect(`the sea is${streamed}`).toBe(whole.choices[0]?.text);
  });

  it("sees typed errors", async () => {
    const error = (promise: PromiseLike<unknown>) =>
      Promise.resolve(promise).then(
        () => undefined,
        (e: unknown) => e,
      );
    const missing = await error(client.chat.completions.create({ ...greedy, model: "absent" }));
    expect(missing).toBeInstanceOf(OpenAI.NotFoundError);
    expect(missing).toMatchObject({ status: 404, code: "model_not_found" });
    const long = await error(
      client.chat.completions.create({ ...greedy, messages: [{ role: "user", content: "word ".repeat(9000) }] }),
    );
    expect(long).toBeInstanceOf(OpenAI.BadRequestError);
    expect(long).toMatchObject({ code: "context_length_exceeded" });
    const streamed = await error(client.chat.completions.create({ ...greedy, temperature: -1, stream: true }));
    expect(streamed).toMatchObject({ status: 400, param: "temperature" });
  });

  it("cancels when a stream is left", async () => {
    const stream = await client.chat.completions.create({ ...greedy, max_tokens: 400, stream: true });
    for await (const _ of stream) break;
    expect((await client.chat.completions.create(greedy)).choices[0]?.message.content).toBe(text);
  });
});

describe("openai: structured outputs and tools", () => {
  it("parses by a zod schema, streamed or not", async () => {
    const request = { ...greedy, max_tokens: 200, response_format: zodResponseFormat(Weather, "weather") };
    const parsed = (await client.chat.completions.parse(request)).choices[0]?.message.parsed;
    expect(Weather.parse(parsed)).toEqual(parsed);
    const streamed = await client.chat.completions.stream(request).finalChatCompletion();
    expect(streamed.choices[0]?.message.parsed).toEqual(parsed);
  });

  it("parses calls of zod tools", async () => {
    const request = {
      ...greedy,
      max_tokens: 200,
      tools: [zodFunction({ name: "look_up", parameters: Place })],
      tool_choice: "required" as const,
    };
    const whole = await client.chat.completions.parse(request);
    const [call] = whole.choices[0]?.message.tool_calls ?? [];
    expect(whole.choices[0]?.finish_reason).toBe("tool_calls");
    expect(Place.parse(call?.function.parsed_arguments)).toEqual(call?.function.parsed_arguments);
    const streamed = await client.chat.completions.stream(request).finalChatCompletion();
    expect(streamed.choices[0]?.message.tool_calls?.[0]?.function).toEqual(call?.function);
  });

  it("runs tools and hands results back", async () => {
    const called: unknown[] = [];
    const run = (choice: object) =>
      client.chat.completions.runTools(
        {
          ...greedy,
          max_tokens: 400,
          tools: [
            zodFunction({
              name: "look_up",
              parameters: Place,
              function: (place) => {
                called.push(place);
                return "sunny";
              },
            }),
          ],
          ...choice,
        },
        { maxChatCompletions: 2 },
      );
    const named = run({ tool_choice: { type: "function", function: { name: "look_up" } } });
    expect(await named.finalFunctionToolCall()).toMatchObject({ name: "look_up" });
    expect(called.length).toBe(1);
    expect(Place.safeParse(called[0]).success).toBe(true);
    expect(await named.finalFunctionToolCallResult()).toBe("sunny");
    // A second completion has the call and its result in its messages.
    await run({ tool_choice: "required" }).done();
    expect(called.length).toBe(3);
  });

  it("takes tool messages back", async () => {
    const answered = await client.chat.completions.create({
      ...greedy,
      messages: [
        ...messages,
        {
          role: "assistant",
          tool_calls: [{ id: "call_1", type: "function", function: { name: "look_up", arguments: '{"city":"Rome"}' } }],
        },
        { role: "tool", tool_call_id: "call_1", content: "sunny" },
      ],
    });
    expect(answered.choices[0]?.message.role).toBe("assistant");
  });
});

describe("openai: responses", () => {
  const request = { model: tiny.name, temperature: 0, input: prompt, max_output_tokens: 24 };

  it("creates, follows up, finds and deletes", async () => {
    const first = await client.responses.create(request);
    expect(first.output_text).toBe(text);
    expect(first.status).toBe("incomplete");
    expect(first.usage?.output_tokens).toBe(24);
    const second = await client.responses.create({ ...request, previous_response_id: first.id });
    expect(second.previous_response_id).toBe(first.id);
    expect((await client.responses.retrieve(first.id)).output_text).toBe(text);
    await client.responses.delete(first.id);
    await expect(client.responses.retrieve(first.id)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    expect((await client.responses.inputTokens.count({ model: tiny.name, input: prompt })).input_tokens).toBe(
      first.usage?.input_tokens,
    );
  });

  it("streams typed events", async () => {
    const types: string[] = [];
    const numbers: number[] = [];
    let streamed = "";
    const stream = client.responses.stream(request);
    for await (const event of stream) {
      types.push(event.type);
      numbers.push(event.sequence_number);
      if (event.type === "response.output_text.delta") streamed += event.delta;
    }
    expect(streamed).toBe(text);
    expect((await stream.finalResponse()).output_text).toBe(text);
    expect(types.slice(0, 2)).toEqual(["response.created", "response.in_progress"]);
    expect(types.at(-1)).toBe("response.incomplete");
    expect(numbers).toEqual(numbers.map((_, i) => i));
  });

  it("parses by a zod schema and calls functions", async () => {
    const parsed = await client.responses.parse({
      ...request,
      max_output_tokens: 200,
      text: { format: zodTextFormat(Weather, "weather") },
    });
    expect(Weather.parse(parsed.output_parsed)).toEqual(parsed.output_parsed);
    const called = await client.responses.create({
      ...request,
      max_output_tokens: 200,
      tool_choice: "required",
      tools: [{ type: "function", name: "look_up", strict: true, parameters: z.toJSONSchema(Place) }],
    });
    const call = called.output.find((item) => item.type === "function_call");
    expect(Place.safeParse(JSON.parse(call?.arguments ?? "")).success).toBe(true);
    const output = { type: "function_call_output" as const, call_id: call?.call_id ?? "", output: "sunny" };
    const after = await client.responses.create({ ...request, previous_response_id: called.id, input: [output] });
    expect(after.output_text.length).toBeGreaterThan(0);
  });
});

describe("openai: keys", () => {
  it("needs the key", async () => {
    const locked = await startServer([tiny.path, "--api-key", "correct-horse"]);
    try {
      const as = (apiKey: string) => new OpenAI({ baseURL: `${locked.url}/v1`, apiKey, maxRetries: 0 });
      await expect(as("wrong-horse").models.list()).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
      expect((await as("correct-horse").chat.completions.create(greedy)).choices[0]?.message.content).toBe(text);
    } finally {
      await locked.stop();
    }
  });
});
