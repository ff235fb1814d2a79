import { describe, expect, it } from "vitest";
import { type Connection, request, streamChat } from "./client.ts";

const answering = (response: Response | (() => never), key = ""): Connection & { calls: RequestInit[] } => {
  const calls: RequestInit[] = [];
  return {
    ...{ url: "", key, calls },
    fetch: async (_, init) => {
      calls.push(init ?? {});
      return typeof response === "function" ? response() : response;
    },
  };
};

const events = (...data: string[]) => new Response(data.map((one) => `data: ${one}\n\n`).join(""));
const { signal } = new AbortController();

async function chunksOf(connection: Connection) {
  const chunks = [];
  for await (const chunk of streamChat(connection, { a: 1 }, signal)) chunks.push(chunk);
  return chunks;
}

describe("streamChat", () => {
  it("posts the body with the key and yields chunks up to [DONE]", async () => {
    const connection = answering(events('{"choices":[]}', '{"idlm":{}}', "[DONE]", "{}"), "secret");
    expect(await chunksOf(connection)).toEqual([{ choices: [] }, { idlm: {} }]);
    expect(connection.calls[0]).toMatchObject({
      method: "POST",
      headers: { authorization: "Bearer secret", "content-type": "application/json" },
      body: '{"a":1}',
    });
  });

  it("fails if the stream ends early or has an error", async () => {
    await expect(chunksOf(answering(events("{}")))).rejects.toMatchObject({ kind: "gone" });
    await expect(chunksOf(answering(events('{"error":{"message":"no memory"}}')))).rejects.toMatchObject({
      kind: "refused",
      message: "no memory",
    });
  });
});

describe("request", () => {
  const failing = (status: number, headers = {}) =>
    request(answering(new Response('{"error":{"message":"said so"}}', { status, headers })), "/x");

  it("says what kind of failure it is", async () => {
    await expect(failing(401)).rejects.toMatchObject({ kind: "key", message: "said so" });
    await expect(failing(429, { "retry-after": "3" })).rejects.toMatchObject({ kind: "busy", retryAfterSeconds: 3 });
    await expect(failing(503)).rejects.toMatchObject({ kind: "busy", retryAfterSeconds: undefined });
    await expect(failing(400)).rejects.toMatchObject({ kind: "refused" });
    // Another page's, or another machine's name: a key does not help.
    await expect(failing(403)).rejects.toMatchObject({ kind: "refused" });
    const loading = answering(new Response('{"status":"loading"}', { status: 503 }));
    await expect(request(loading, "/health")).rejects.toMatchObject({
      kind: "busy",
      message: "The model is being loaded.",
    });
    const gone = answering(() => {
      throw new TypeError("fetch failed");
    });
    await expect(request(gone, "/x")).rejects.toMatchObject({ kind: "gone" });
  });

  it("leaves an abort what it is", async () => {
    const aborted = answering(() => {
      throw new DOMException("", "AbortError");
    });
    await expect(request(aborted, "/x")).rejects.toMatchObject({ name: "AbortError" });
  });
});
