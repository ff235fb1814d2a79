import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { exchangeBytes, testServers } from "../../test/support/test-server.ts";

const start = testServers();
const body = JSON.stringify({ model: "m", messages: [{ role: "user", content: "ab" }], max_tokens: 4 });
const path = "/v1/chat/completions";
const head = (more = "", method = "POST", target = path) =>
  `${method} ${target} HTTP/1.1\r\nHost: localhost\r\n${more}`;
const whole = (more = "", text = body) => `${head(`Content-Length: ${Buffer.byteLength(text)}\r\n${more}`)}\r\n${text}`;
const statuses = (received: string) => [...received.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status));
const close = "Connection: close\r\n";

/** The server still answers, and holds no pages. */
async function expectUnharmed({ post, engines }: Awaited<ReturnType<typeof start>>): Promise<void> {
  const response = await post(path, body);
  expect(response.status).toBe(200);
  expect(JSON.parse(await response.text()).choices[0].finish_reason).toBe("length");
  await expect.poll(() => engines[0]?.stats()).toMatchObject({ sequences: [], cachePages: { used: 0 } });
}

describe("a hostile client", () => {
  it("sends a body in pieces of one byte", async () => {
    const server = await start();
    const spaces = `${" ".repeat(100_000)}${body}`;
    const pieces = [...spaces].map((byte) => `1\r\n${byte}\r\n`).join("");
    const request = `${head(`Transfer-Encoding: chunked\r\n${close}`)}\r\n${pieces}0\r\n\r\n`;
    expect(statuses(await exchangeBytes(server.url, request))).toEqual([200]);
    await expectUnharmed(server);
  });

  it("sends its requests at once over one connection", async () => {
    const server = await start();
    const received = await exchangeBytes(server.url, whole().repeat(19) + whole(close));
    expect(statuses(received)).toEqual(Array.from({ length: 20 }, () => 200));
    await expectUnharmed(server);
  });

  it("sends a request of which the length says something else than its encoding", async () => {
    const server = await start();
    const both = `${head(`Content-Length: 5\r\nTransfer-Encoding: chunked\r\n${close}`)}\r\n0\r\n\r\n`;
    expect(statuses(await exchangeBytes(server.url, both))[0]).toBe(400);
    const twice = `${head(`Content-Length: 5\r\nContent-Length: 6\r\n${close}`)}\r\n{}   `;
    expect(statuses(await exchangeBytes(server.url, twice))[0]).toBe(400);
    await expectUnharmed(server);
  });

  it("breaks uploads off", async () => {
    const server = await start();
    for (let i = 0; i < 30; i++) {
      const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
      socket.on("error", () => {});
      const all = whole();
      socket.write(all.slice(0, Math.floor((all.length * i) / 30)), () => socket.destroy());
    }
    await sleep(50);
    await expectUnharmed(server);
  });

  it.each([
    ["CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n"],
    [`${head(`Connection: Upgrade, close\r\nUpgrade: websocket\r\nContent-Length: 0\r\n`)}\r\n`],
    [`${head("Expect: magic\r\nConnection: close\r\n")}\r\n`],
    ["TRACE / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"],
    ["GET http://evil.example/health HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"],
    ["GET /%00 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"],
    ["GET /%E0%A4%A HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"],
    ["GET /v1/models/..%2f..%2fetc%2fpasswd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"],
    ["GET * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"],
    ["GET /health HTTP/1.1\r\nConnection: close\r\n\r\n"],
    ["GET /health HTTP/1.0\r\n\r\n"],
    ["GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"],
    [`GET /health HTTP/1.1\r\nHost: localhost\r\n${"X: y\r\n".repeat(3000)}Connection: close\r\n\r\n`],
    ["\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
  ])("sends what is no usual request (%#)", async (request) => {
    const server = await start({ settings: { arrivalMs: 300 } });
    const received = await exchangeBytes(server.url, request);
    for (const status of statuses(received)) expect([200, 400, 403, 404, 405, 408, 417, 431]).toContain(status);
    expect(received).not.toMatch(/root:|at .*\.ts:\d+/);
    await expectUnharmed(server);
  });

  it.each<[string, string, number]>([
    ["a key twice: the last one counts", `{"model": "other", ${body.slice(1)}`, 200],
    [
      "keys of JavaScript's objects",
      `{"__proto__": {"model": "x"}, "constructor": 1, "toString": 2, ${body.slice(1)}`,
      200,
    ],
    ["half of a character", body.replace("ab", "\\ud800"), 200],
    ["a byte order mark", `\ufeff${body}`, 200],
    ["a number beyond all others", body.replace('"max_tokens":4', '"max_tokens":4e999'), 400],
    ["very many objects", `{"x": [${"{},".repeat(300_000)}{}], ${body.slice(1)}`, 400],
    ["very many values", `{"x": [${"0,".repeat(2_100_000)}0], ${body.slice(1)}`, 400],
    ["zeros", "\0".repeat(1000), 400],
  ])("sends a body with %s", async (_, text, status) => {
    const server = await start();
    const response = await server.post(path, text);
    const answered = await response.text();
    expect([response.status, status === 200 ? "" : answered]).toEqual([
      status,
      status === 200 ? "" : expect.any(String),
    ]);
    if (status !== 200) expect(JSON.parse(answered)).toMatchObject({ error: { message: expect.any(String) } });
    await expectUnharmed(server);
  });

  it("guesses keys", async () => {
    const { url } = await start({ settings: { apiKeys: ["a-right-key"] } });
    const ask = async (more: string) => statuses(await exchangeBytes(url, whole(more + close)))[0];
    for (const right of ["Authorization: bearer a-right-key", "X-API-Key: a-right-key", "api-key: a-right-key"]) {
      expect(await ask(`${right}\r\n`), right).toBe(200);
    }
    const wrong = [
      ...["", "Authorization: a-right-key\r\n", "Authorization: Basic a-right-key\r\n", "Authorization: Bearer\r\n"],
      ...["Authorization: Bearer a-right-key x\r\n", "X-API-Key: a-right-key, b\r\n", "Cookie: key=a-right-key\r\n"],
      ...["X-API-Key: a-right-key\r\nX-API-Key: b\r\n", "Authorization: Bearer wrong\r\nX-API-Key: a-right-key\r\n"],
      `X-API-Key: ${"a".repeat(10_000)}\r\n`,
    ];
    for (const header of wrong) expect(await ask(header), header.slice(0, 60)).toBe(401);
    const query = `${head(`Content-Length: 0\r\n${close}`, "POST", `${path}?api_key=a-right-key`)}\r\n`;
    expect(statuses(await exchangeBytes(url, query))).toEqual([401]);
  });
});

describe("errors of Anthropic's API", () => {
  it("name the request, in the body and in a header", async () => {
    const { post } = await start();
    const response = await post("/v1/messages", { model: "m" });
    const id = response.headers.get("request-id");
    expect([response.status, response.headers.get("x-request-id")]).toEqual([400, id]);
    expect(JSON.parse(await response.text())).toMatchObject({ type: "error", request_id: id });
    expect((await post(path, {})).headers.get("request-id")).toBeNull();
  });
});

describe("keep_alive of Ollama's API", () => {
  it("says when a model is unloaded after its last use", async () => {
    const { get, post } = await start();
    const loaded = async () => JSON.parse(await (await get("/api/ps")).text()).models;
    const generate = async (keepAlive: unknown) =>
      (await post("/api/generate", { model: "m", prompt: "a", stream: false, keep_alive: keepAlive })).text();
    await generate(undefined);
    expect(await loaded()).toMatchObject([{ name: "m", expires_at: "9999-12-31T23:59:59Z" }]);
    const before = Date.now();
    await generate("2h");
    const [{ expires_at: expires }] = await loaded();
    expect(Date.parse(expires)).toBeGreaterThanOrEqual(before + 7_200_000);
    await generate(-1);
    expect(await loaded()).toMatchObject([{ expires_at: "9999-12-31T23:59:59Z" }]);
    await generate("10ms");
    await expect.poll(loaded).toEqual([]);
    expect((await post(path, body)).status).toBe(200);
    await generate(0);
    await expect.poll(loaded).toEqual([]);
  });
});
