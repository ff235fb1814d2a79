import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { familyOf } from "./api-family.ts";
import { ClientGone, Exchange } from "./exchange.ts";
import { dataEvent, eventStream, sendStream } from "./stream.ts";

const request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

let close = () => {};
afterEach(() => close());

/** Answers with a stream of these pieces; returns a socket that asked for it, and how the stream ends. */
async function streaming(
  pieces: (exchange: Exchange) => AsyncIterable<string>,
  requests = [request],
  settings: Partial<Pick<Exchange, "streamInterval" | "holdMs">> = {},
) {
  let end: (error: unknown) => void = () => {};
  const ended = new Promise<unknown>((resolve) => {
    end = resolve;
  });
  const server = createServer((incoming, outgoing) => {
    const exchange = new Exchange(incoming, outgoing, "id", "/", familyOf("/"), { maxBodyBytes: 1 });
    exchange.silenceMs = 10;
    Object.assign(exchange, settings);
    const failed = (error: unknown) => dataEvent({ error: String(error) });
    const form = { write: (piece: string) => piece, end: async () => "", failed };
    sendStream(exchange, eventStream, pieces(exchange), form).then(end, (error: unknown) => {
      end(error);
      exchange.send(400, { error: String(error) });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  close = () => {
    socket.destroy();
    server.close();
    server.closeAllConnections();
  };
  socket.setEncoding("utf8");
  socket.write(requests.join(""));
  return { socket, ended };
}

async function textOf(socket: AsyncIterable<string>): Promise<string> {
  let text = "";
  for await (const part of socket) text += part;
  return text;
}

describe("sendStream", () => {
  it("takes no more pieces while the client does not read, and stops when it goes away", async () => {
    let nPieces = 0;
    let isLeft = false;
    const { socket, ended } = await streaming(async function* () {
      try {
        while (true) {
          nPieces++;
          yield "x".repeat(2 ** 20);
        }
      } finally {
        isLeft = true;
      }
    });
    socket.pause();
    // The buffers of a connection hold some megabytes.
    await expect
      .poll(async () => {
        const before = nPieces;
        await new Promise((resolve) => setTimeout(resolve, 100));
        return nPieces > 0 && nPieces === before;
      })
      .toBe(true);
    expect(nPieces).toBeLessThan(64);
    socket.destroy();
    await ended;
    expect(isLeft).toBe(true);
  });

  it("sends an error before the first piece with a status of its own", async () => {
    const { socket, ended } = await streaming(async function* () {
      yield* [];
      throw new Error("too early");
    });
    expect(await textOf(socket)).toMatch(/^HTTP\/1.1 400 [\s\S]*too early/);
    expect(String(await ended)).toContain("too early");
  });

  it("sends an error after the first piece as an event", async () => {
    const { socket, ended } = await streaming(async function* () {
      yield dataEvent("one");
      throw new Error("too late");
    });
    expect(await textOf(socket)).toMatch(/^HTTP\/1.1 200 [\s\S]*data: one[\s\S]*data: \{"error":"Error: too late"\}/);
    expect(await ended).toBeUndefined();
  });

  it("ends with the reason for which the exchange was aborted", async () => {
    const { socket } = await streaming(async function* (exchange) {
      yield dataEvent("one");
      exchange.abort(new Error("over"));
      yield dataEvent("two");
    });
    const text = await textOf(socket);
    expect(text).toContain("Error: over");
    expect(text).not.toContain("two");
  });

  it("sends comments while it waits for a piece", async () => {
    const { socket } = await streaming(async function* () {
      yield dataEvent("one");
      await new Promise((resolve) => setTimeout(resolve, 200));
      yield dataEvent("two");
    });
    expect(await textOf(socket)).toMatch(/data: one[\s\S]*: waiting[\s\S]*: waiting[\s\S]*data: two/);
  });

  it("measures chunks in bytes, and ends them", async () => {
    const { socket } = await streaming(async function* () {
      yield "é€😀";
      yield "";
      yield "a";
    });
    const text = await textOf(socket);
    expect(text.slice(text.indexOf("\r\n\r\n"))).toBe("\r\n\r\n9\r\né€😀\r\n1\r\na\r\n0\r\n\r\n");
  });

  it("writes pieces together that come quickly, but for the first ones, and the last ones with the end", async () => {
    const settings = { streamInterval: () => 3, holdMs: 1e6 };
    const pieces = async function* () {
      yield* "abcdefghij";
    };
    const { socket } = await streaming(pieces, [request], settings);
    const text = await textOf(socket);
    const chunks = ["a", "b", "c", "def", "ghi", "j"].map((chunk) => `${chunk.length}\r\n${chunk}\r\n`);
    expect(text.slice(text.indexOf("\r\n\r\n") + 4)).toBe(`${chunks.join("")}0\r\n\r\n`);
  });

  it("writes a held piece if no other comes", async () => {
    let read = () => {};
    const hasRead = new Promise<void>((resolve) => {
      read = resolve;
    });
    const pieces = async function* () {
      yield* "abcd";
      await hasRead;
      yield "e";
    };
    const { socket } = await streaming(pieces, [request], { streamInterval: () => 64, holdMs: 500 });
    let text = "";
    for await (const part of socket) {
      text += part;
      if (text.includes("1\r\nd\r\n")) read();
    }
    expect(text).toMatch(/1\r\nd\r\n[\s\S]*e\r\n0\r\n\r\n$/);
  });

  it("has no chunks for a client of HTTP/1.0", async () => {
    const pieces = async function* () {
      yield "one ";
      yield "two";
    };
    const { socket } = await streaming(pieces, ["GET / HTTP/1.0\r\nHost: a\r\n\r\n"]);
    expect(await textOf(socket)).toMatch(/\r\n\r\none two$/);
  });

  it("keeps the order of requests on one connection", async () => {
    let nStreams = 0;
    const pieces = async function* () {
      const n = ++nStreams;
      // The first one is still running when the second one has ended.
      yield `start ${n};`;
      if (n === 1) await new Promise((resolve) => setTimeout(resolve, 50));
      yield `end ${n};`;
    };
    const { socket } = await streaming(pieces, [request.replace("Connection: close\r\n", ""), request]);
    expect((await textOf(socket)).match(/(start|end) \d/g)).toEqual(["start 1", "end 1", "start 2", "end 2"]);
  });

  it("sends headers for a stream without pieces", async () => {
    const { socket } = await streaming(async function* () {});
    expect(await textOf(socket)).toMatch(/^HTTP\/1.1 200 OK\r\ncontent-type: text\/event-stream/);
    expect(new ClientGone().name).toBe("AbortError");
  });
});
