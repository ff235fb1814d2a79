import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { testServers } from "../../test/support/test-server.ts";

const start = testServers();
const path = "/v1/chat/completions";
const body = JSON.stringify({ model: "m", messages: [{ role: "user", content: "é" }], max_tokens: 4, seed: 3 });

describe("content-encoding of a body", () => {
  it.each<[string, Uint8Array]>([
    ["gzip", gzipSync(body)],
    ["GZip", gzipSync(body)],
    ["x-gzip", gzipSync(body)],
    ["deflate", deflateSync(body)],
    ["br", brotliCompressSync(body)],
    ["identity", Buffer.from(body)],
    ["", Buffer.from(body)],
  ])("%j is decoded", async (encoding, bytes) => {
    const { post } = await start();
    const plain = JSON.parse(await (await post(path, body)).text());
    const response = await post(path, "", { body: new Uint8Array(bytes), headers: { "content-encoding": encoding } });
    expect([response.status, JSON.parse(await response.text()).choices]).toEqual([200, plain.choices]);
  });

  it.each<[string, string, Uint8Array, number, string]>([
    ["an unknown one", "zstd", Buffer.from(body), 415, "encoding_unknown"],
    ["two of them", "gzip, br", gzipSync(body), 415, "encoding_unknown"],
    ["a name of JavaScript's objects", "constructor", Buffer.from(body), 415, "encoding_unknown"],
    ["another than it says", "gzip", Buffer.from(body), 400, "usage"],
    ["a part", "gzip", gzipSync(body).subarray(0, 40), 400, "usage"],
    ["more than a body may have", "gzip", gzipSync(Buffer.alloc(2_000_000, " ")), 413, "body_too_large"],
  ])("%s is refused", async (_, encoding, bytes, status, code) => {
    const { post } = await start({ settings: { maxBodyBytes: 1_000_000 } });
    const response = await post(path, "", { body: new Uint8Array(bytes), headers: { "content-encoding": encoding } });
    expect(response.status).toBe(status);
    expect(JSON.parse(await response.text()).error).toMatchObject({ code, type: "invalid_request_error" });
  });
});
