import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { fakeEngine } from "../../test/support/fake-engine.ts";
import { exchangeBytes, spec, startTestServer, testServers } from "../../test/support/test-server.ts";
import { IdlmError } from "../errors.ts";

const start = testServers();
/** Generates until the context is full: the fake model never ends by itself. */
const endless = { model: "m", prompt: "ab", max_tokens: 100_000 };
const long = { context: 200_000, nPages: 20_000 };
const short = { model: "m", prompt: "ab", max_tokens: 4 };
const completions = "/v1/completions";

describe("requests", () => {
  it.each([true, false])(
    "of clients that go away are cancelled, their pages are freed (stream: %s)",
    async (stream) => {
      const { post, engines } = await start({ engine: long });
      const leaving = new AbortController();
      const request = post(completions, { ...endless, stream, n: 3 }, { signal: leaving.signal });
      const reading = request.then(async (response) => (await response.text()).length).catch(() => "aborted");
      const stats = () => engines[0]?.stats();
      await expect.poll(() => stats()?.sequences.filter(({ isRunning }) => isRunning).length).toBe(3);
      leaving.abort();
      expect(await reading).toBe("aborted");
      await expect.poll(stats).toMatchObject({ sequences: [], cachePages: { used: 0 } });
    },
  );

  it("name a model on OpenAI's paths; on llama-server's the first one answers without", async () => {
    const { get, post } = await start();
    const chat = { messages: [{ role: "user", content: "a" }], max_tokens: 2 };
    const bodies = { "/chat/completions": chat, "/responses": { input: "a", max_output_tokens: 2 } };
    for (const [path, body] of Object.entries(bodies)) {
      expect((await post(`/v1${path}`, body)).status).toBe(400);
      for (const named of [body, { ...body, model: "" }, { ...body, model: "m" }]) {
        const response = await post(path, named);
        expect([path, response.status]).toEqual([path, 200]);
        expect(await response.json()).toMatchObject({ model: "m" });
      }
      expect((await post(path, { ...body, model: "other" })).status).toBe(404);
    }
    expect((await post("/responses/input_tokens", { input: "a" })).status).toBe(200);
    const count = await post("/chat/completions/input_tokens", chat);
    expect(await count.json()).toEqual({ object: "response.input_tokens", input_tokens: 2 });
    expect((await post("/v1/chat/completions/input_tokens", chat)).status).toBe(400);
    expect(await (await get("/models")).json()).toEqual(await (await get("/v1/models")).json());
    expect((await get("/v1/health")).status).toBe(200);
  });

  it("for several completions are told how each was decoded, streamed or not", async () => {
    const { post } = await start();
    const asked = {
      ...short,
      prompt: ["ab", "b"],
      n: 2,
      temperature: 1,
      max_tokens: 9,
      propose: "none",
      idlm: { rounds: true },
    };
    const { choices, idlm } = JSON.parse(await (await post(completions, asked)).text());
    const texts = (choices as { text: string }[]).map(({ text }) => text);
    const hashes = texts.map((text) => createHash("sha256").update(text).digest("hex"));
    expect(idlm.results).toMatchObject(hashes.map((sha256, index) => ({ index, sha256, lossless: true })));
    expect(idlm.result.sha256).toBe(hashes[0]);
    const stream = await (await post(completions, { ...asked, stream: true })).text();
    const last = JSON.parse([...stream.matchAll(/^data: (\{.*)$/gm)].at(-1)?.[1] ?? "");
    const withoutTimes = ({ prefillMs: _, decodeMs: __, ...rest }: Record<string, unknown>) => rest;
    expect(last.idlm.results.map(withoutTimes)).toEqual(idlm.results.map(withoutTimes));
  });

  it("that take too long end with an error, streamed or not", async () => {
    const { post } = await start({ engine: long, settings: { timeoutMs: 150 } });
    const whole = await post(completions, endless);
    expect(whole.status).toBe(504);
    const streamed = await post(completions, { ...endless, stream: true });
    expect(streamed.status).toBe(200);
    const last = (await streamed.text()).trimEnd().split("\n\n").at(-1) ?? "";
    expect(JSON.parse(last.replace("data: ", ""))).toMatchObject({
      error: { message: expect.stringMatching(/0.15 s/) },
    });
  });

  it("for more answers than the queue takes are refused with 429 and Retry-After", async () => {
    const { post, engines } = await start({ engine: { ...long, maxSequences: 2, maxQueue: 3 } });
    const leaving = new AbortController();
    post(completions, { ...endless, n: 4 }, { signal: leaving.signal }).catch(() => {});
    await expect.poll(() => engines[0]?.stats().sequences.length).toBe(4);
    const refused = await post(completions, { ...short, n: 2 });
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "1"]);
    // A list of prompts runs as a whole or not at all.
    expect((await post(completions, { ...short, prompt: ["a", "b"] })).status).toBe(429);
    expect(engines[0]?.stats().sequences).toHaveLength(4);
    leaving.abort();
    await expect.poll(() => engines[0]?.stats().sequences.length).toBe(0);
    expect((await post(completions, { ...short, n: 2 })).status).toBe(200);
  });

  it("beyond the limits of a key are refused, those of other keys are not", async () => {
    const apiKeys = ["first-key", "second-key"];
    const of = (key: string) => ({ headers: { "x-api-key": key } });
    const requests = await start({ settings: { apiKeys, requestsPerMinute: 2 } });
    const statuses: number[] = [];
    for (let i = 0; i < 3; i++) statuses.push((await requests.post(completions, short, of("first-key"))).status);
    expect(statuses).toEqual([200, 200, 429]);
    const refused = await requests.post(completions, short, of("first-key"));
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(1);
    expect((await requests.post(completions, short, of("second-key"))).status).toBe(200);
    const tokens = await start({ settings: { apiKeys, tokensPerMinute: 5 } });
    expect((await tokens.post(completions, short, of("first-key"))).status).toBe(200);
    await expect.poll(async () => (await tokens.post(completions, short, of("first-key"))).status).toBe(429);
    expect((await tokens.post(completions, short, of("second-key"))).status).toBe(200);
  });

  it("have errors without paths of the machine", async () => {
    const path = "/secret/model.gguf";
    const { post, lines } = await start({
      load: async () => {
        throw new IdlmError("file-missing", { path, hint: "" });
      },
    });
    const failed = await post(completions, short);
    expect(failed.status).toBe(500);
    expect(await failed.text()).not.toContain("secret");
    await expect.poll(() => JSON.stringify(lines)).toContain(path);
  });

  it("are logged without their prompts unless asked", async () => {
    for (const logsPrompts of [false, true]) {
      const { post, lines } = await start({ settings: { logsPrompts } });
      await (await post(completions, { ...short, prompt: "a private text" })).text();
      await (await post(completions, { ...short, prompt: "a private text", max_tokens: "none" })).text();
      await expect.poll(() => lines.length).toBe(2);
      expect(JSON.stringify(lines).includes("private")).toBe(logsPrompts);
    }
  });

  it("for unknown paths, other methods and what is not offered are told apart", async () => {
    const { get, post } = await start();
    expect((await get("/v1/nothing")).status).toBe(404);
    const wrong = await get(completions);
    expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "POST"]);
    for (const path of ["/v1/embeddings", "/v1/audio/speech", "/v1/images/generations", "/v1/files", "/api/embed"]) {
      expect((await post(path, {})).status, path).toBe(501);
    }
    expect((await get("/v1/chat/completions/chatcmpl-1")).status).toBe(501);
    expect((await post("/v1/chat/completions/input_tokens", {})).status).toBe(400);
  });
});

describe("a connection", () => {
  it("is kept after requests without a body, and after those whose body was read", async () => {
    const { url } = await start();
    const get = (path: string, more = "") => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`;
    const post = (path: string, body: string, more = "") =>
      `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n${more}\r\n${body}`;
    const statuses = async (...requests: string[]) =>
      [...(await exchangeBytes(url, requests.join(""))).matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) =>
        Number(status),
      );
    const last = get("/health", "Connection: close\r\n");
    expect(await statuses(get("/health"), get("/v1/models"), get("/nowhere"), post("/v1/nowhere", ""), last)).toEqual([
      200, 200, 404, 404, 200,
    ]);
    expect(await statuses(post("/v1/completions", "{"), last)).toEqual([400, 200]);
    // The rest of the body would be in the way.
    expect(await statuses(post("/v1/nowhere", "{}"), last)).toEqual([404]);
  });

  it("of HTTP/1.0 needs no Host header", async () => {
    const { url } = await start();
    expect(await exchangeBytes(url, "GET /health HTTP/1.0\r\n\r\n")).toMatch(/^HTTP\/1\.1 200 /);
    expect(await exchangeBytes(url, "GET /health HTTP/1.0\r\nHost: evil.example\r\n\r\n")).toMatch(/^HTTP\/1\.1 403 /);
    expect(await exchangeBytes(url, "GET /health HTTP/1.1\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 /);
  });
});

describe("models", () => {
  it("are loaded when they are named, and unloaded where another needs the memory", async () => {
    const loaded: string[] = [];
    const open = new Set<string>();
    const server = await start({
      specs: ["a", "b", "c"].map((name) => spec(name, { aliases: [`${name}-alias`] })),
      load: async ({ name }) => {
        if (open.size === 2) throw new IdlmError("memory", { needed: 1, available: 0, what: "the model" });
        loaded.push(name);
        open.add(name);
        const { engine } = fakeEngine();
        const dispose = engine.dispose.bind(engine);
        engine.dispose = () => {
          open.delete(name);
          return dispose();
        };
        return engine;
      },
    });
    const ask = async (model: string) => (await server.post(completions, { ...short, model })).status;
    expect(await ask("a")).toBe(200);
    expect(await ask("b-alias")).toBe(200);
    expect(await ask("a-alias")).toBe(200);
    expect(loaded).toEqual(["a", "b"]);
    // b was not used for longest.
    expect(await ask("c")).toBe(200);
    expect([...open]).toEqual(["a", "c"]);
    expect(await Promise.all([ask("a"), ask("b"), ask("c"), ask("nothing")])).toEqual(
      expect.arrayContaining([200, 200, 404]),
    );
    const { data } = JSON.parse(await (await server.get("/v1/models")).text());
    expect(data.map(({ id }: { id: string }) => id)).toEqual(["a", "b", "c"]);
    expect((await server.get("/v1/models/b-alias")).status).toBe(200);
    expect((await server.get("/v1/models/org/b")).status).toBe(404);
  });

  it("that do not fit beside those in use are refused with 503", async () => {
    let isFirst = true;
    const { post, models } = await start({
      specs: [spec("a"), spec("b")],
      load: async () => {
        if (!isFirst) throw new IdlmError("memory", { needed: 1, available: 0, what: "the model" });
        isFirst = false;
        return fakeEngine().engine;
      },
    });
    await models.use("a", new AbortController().signal, async () => {
      const refused = await post(completions, { ...short, model: "b" });
      expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"]);
    });
  });

  it("are loaded one at a time, share weights with those of the same source, and are told of the others' caches", async () => {
    const { post } = await start({
      specs: [spec("a", { source: "s" }), spec("a:base", { source: "s", adapter: false }), spec("b")],
      load: async ({ name }, { shareWith, reservedBytes }) => {
        expect(shareWith !== undefined).toBe(name === "a:base");
        expect(reservedBytes).toBe({ a: 0, "a:base": 5, b: 10 }[name]);
        const { engine } = fakeEngine();
        return Object.assign(engine, { info: { ...engine.info, cacheBytes: 5 } });
      },
    });
    const statuses = ["a", "a:base", "b"].map(async (model) => (await post(completions, { ...short, model })).status);
    expect(await Promise.all(statuses)).toEqual([200, 200, 200]);
  });

  it("that are preloaded make the server ready, and requests wait for them", async () => {
    let finish = () => {};
    const loading = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const { get, post, models } = await start({
      load: async () => {
        await loading;
        return fakeEngine().engine;
      },
    });
    const ready = models.preload("m", new AbortController().signal);
    expect((await get("/health")).status).toBe(503);
    const waiting = post(completions, short);
    finish();
    await ready;
    expect((await waiting).status).toBe(200);
    expect((await get("/health")).status).toBe(200);
  });
});

describe("stopping", () => {
  it("lets streams end and refuses what is new", async () => {
    const server = await startTestServer({ engine: long, settings: { drainMs: 55_000 } });
    const streamed = await server.post(completions, { ...endless, max_tokens: 1000, stream: true });
    const stopped = server.stop();
    await expect(fetch(`${server.url}/health`)).rejects.toThrow();
    const events = (await streamed.text()).trimEnd().split("\n\n");
    expect(events.at(-1)).toBe("data: [DONE]");
    await stopped;
  });

  it("ends what runs longer than it may", async () => {
    const server = await startTestServer({ engine: long, settings: { drainMs: 100 } });
    const streamed = await server.post(completions, { ...endless, stream: true });
    await server.stop();
    await expect(streamed.text()).rejects.toThrow();
  });

  it("refuses requests of connections that are open", async () => {
    const server = await startTestServer({ engine: long, settings: { drainMs: 55_000 } });
    const body = JSON.stringify({ ...endless, max_tokens: 1000 });
    const head = `POST ${completions} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    const received = exchangeBytes(server.url, [head, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"]);
    await expect.poll(() => server.engines[0]?.stats().sequences.length).toBe(1);
    await server.stop();
    expect((await received).match(/HTTP\/1\.1 \d+/g)?.[0]).toBe("HTTP/1.1 200");
  });
});
