import { describe, expect, it } from "vitest";
import { exchangeBytes, testServers } from "../../test/support/test-server.ts";

const start = testServers();
const chat = { model: "m", messages: [{ role: "user", content: "ab" }], max_tokens: 4 };
const paths = [
  ...["/v1/models", "/v1/models/m", "/metrics", "/version", "/props", "/slots", "/server_info", "/model_info"],
  ...["/v1/loads", "/openapi.json", "/api/tags", "/api/version", "/nowhere", "/v1/embeddings"],
];
const statusOf = (response: string) => Number(/^HTTP\/1\.1 (\d+)/.exec(response)?.[1]);

describe("keys", () => {
  const settings = { apiKeys: ["first-key-1", "second-key"] };

  it("are asked for on every path but /health and the page", async () => {
    const { get, post } = await start({ settings });
    for (const path of paths) expect((await get(path)).status, path).toBe(401);
    for (const key of ["first-key-1", "second-key"]) {
      for (const path of paths) {
        expect((await get(path, { authorization: `Bearer ${key}` })).status, path).not.toBe(401);
        expect((await get(path, { "x-api-key": key })).status, path).not.toBe(401);
      }
    }
    expect((await get("/health")).status).toBe(200);
    expect((await get("/")).status).not.toBe(401);
    const refused = await post("/v1/chat/completions", chat, { headers: { authorization: "Bearer first-key-" } });
    expect(refused.status).toBe(401);
    expect(await refused.json()).toMatchObject({ error: { message: expect.stringMatching(/API key is not valid/) } });
  });

  it.each([
    ["POST", "/v1/chat/completions"],
    ["GET", "/v1/models"],
    ["POST", "/api/chat"],
  ])("%s %s without one is refused before a body is read", async (method, path) => {
    const { url } = await start({ settings });
    const head = `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n`;
    expect(statusOf(await exchangeBytes(url, `${head}\r\n`))).toBe(401);
    // No "100 Continue" comes first.
    expect(statusOf(await exchangeBytes(url, `${head}Expect: 100-continue\r\n\r\n`))).toBe(401);
  });

  it("have a share of the machine each, so that one client's many requests do not delay another's", async () => {
    const { post, engines } = await start({ settings, engine: { maxSequences: 1 } });
    const ask = (key: string) => {
      return post("/v1/chat/completions", { ...chat, max_tokens: 150 }, { headers: { "x-api-key": key } });
    };
    const ended: string[] = [];
    const many = Array.from({ length: 12 }, () => ask("first-key-1").then(() => ended.push("first")));
    await expect.poll(() => engines[0]?.stats().sequences.length, { interval: 2 }).toBeGreaterThan(8);
    await ask("second-key").then(() => ended.push("second"));
    await Promise.all(many);
    expect(ended.indexOf("second")).toBeLessThan(ended.length - 1);
  });

  it("are not in the log, which names their hashes", async () => {
    const { post, lines } = await start({ settings });
    await (await post("/v1/chat/completions", chat, { headers: { "x-api-key": "second-key" } })).text();
    await expect.poll(() => lines.length).toBe(1);
    expect(JSON.stringify(lines)).not.toContain("second-key");
    expect(lines[0]).toMatchObject({ status: 200, model: "m", key: expect.stringMatching(/^[0-9a-f]{16}$/) });
  });
});

describe("web pages", () => {
  const ask = (host: string, more = "") =>
    `GET /v1/models HTTP/1.1\r\nHost: ${host}\r\n${more}Connection: close\r\n\r\n`;

  it("reach a loopback address by its own names only", async () => {
    const { url } = await start({ settings: { allowHosts: ["proxy.example"] } });
    const { port } = new URL(url);
    for (const host of ["localhost", "127.0.0.1", "[::1]", `localhost:${port}`, "LOCALHOST", "proxy.example:80"]) {
      expect(statusOf(await exchangeBytes(url, ask(host))), host).toBe(200);
    }
    for (const host of ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "1270.0.0.1", ""]) {
      expect(statusOf(await exchangeBytes(url, ask(host))), host).toBeGreaterThanOrEqual(400);
    }
  });

  it("of other origins are refused unless they are allowed", async () => {
    const origin = "https://app.example";
    const allowed = await start({ settings: { cors: [origin] } });
    const closed = await start();
    const headers = { origin };
    expect((await closed.get("/v1/models", headers)).status).toBe(403);
    expect((await closed.post("/v1/chat/completions", chat, { headers })).status).toBe(403);
    expect((await closed.get("/v1/models", { origin: "null" })).status).toBe(403);
    expect((await closed.get("/v1/models", { origin: closed.url })).status).toBe(200);
    const response = await allowed.get("/v1/models", headers);
    expect(response.status).toBe(200);
    expect(response.headers.get("access-control-allow-origin")).toBe(origin);
    expect((await allowed.get("/v1/models", { origin: "https://app.example.evil" })).status).toBe(403);
  });

  it("of allowed origins are answered before a key is asked for, as browsers want it", async () => {
    const { url } = await start({ settings: { cors: ["*"], apiKeys: ["a-long-key"] } });
    const preflight = await fetch(`${url}/v1/chat/completions`, {
      method: "OPTIONS",
      headers: {
        origin: "https://app.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
      },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-headers")).toBe("authorization,content-type");
    expect((await fetch(`${url}/v1/models`, { headers: { origin: "https://app.example" } })).status).toBe(401);
  });
});

describe("sizes and times", () => {
  it("of bodies are bounded, declared or not", async () => {
    const { url, post } = await start({ settings: { maxBodyBytes: 1000 } });
    const head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n";
    expect(statusOf(await exchangeBytes(url, `${head}Content-Length: 1001\r\n\r\n`))).toBe(413);
    const chunk = `1f4\r\n${"a".repeat(500)}\r\n`;
    const chunked = await exchangeBytes(url, `${head}Transfer-Encoding: chunked\r\n\r\n${chunk}${chunk}${chunk}`);
    expect(statusOf(chunked)).toBe(413);
    expect((await post("/v1/chat/completions", chat)).status).toBe(200);
  });

  it("of headers are bounded", async () => {
    const { url } = await start();
    const bytes = `GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: ${"a".repeat(20_000)}\r\n\r\n`;
    expect(statusOf(await exchangeBytes(url, bytes))).toBe(431);
  });

  it.each(["", "POST /v1/chat/comp", "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"])(
    "of a request that does not arrive whole are bounded: %j",
    async (bytes) => {
      const { url } = await start({ settings: { arrivalMs: 100 } });
      const received = await exchangeBytes(url, bytes);
      if (received !== "") expect(statusOf(received)).toBe(408);
    },
  );

  it("of a body that does not arrive whole are bounded", async () => {
    const { url } = await start({ settings: { arrivalMs: 100 } });
    const head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{";
    const received = await exchangeBytes(url, head);
    if (received !== "") expect(statusOf(received)).toBe(408);
  });

  it.each([
    ["not JSON", "{", 400],
    ["not UTF-8", new Uint8Array([0xff, 0xfe]), 400],
    ["a string of escaped quotes that does not end", `{"model": "${'\\"'.repeat(2_000_000)}`, 400],
    ["nested deeply", `{"model": "m", "messages": ${"[".repeat(200_000)}${"]".repeat(200_000)}}`, 400],
    ["no object", "[]", 400],
    ["of no model", JSON.stringify({ messages: [] }), 400],
    ["of an unknown model", JSON.stringify({ ...chat, model: "other" }), 404],
    [
      "of brackets in strings",
      JSON.stringify({ ...chat, messages: [{ role: "user", content: "[{".repeat(200) }] }),
      400,
    ],
  ])("a body that is %s is refused with a message", async (_, body, status) => {
    const { url } = await start({ engine: { context: 100 } });
    const response = await fetch(`${url}/v1/chat/completions`, { method: "POST", body });
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { message: expect.any(String), type: expect.any(String) } });
  });
});
