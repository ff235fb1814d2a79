import type { EventEmitter } from "node:events";
import type { ServerResponse } from "node:http";
import { ClientGone, type Exchange } from "./exchange.ts";

/** Milliseconds without progress after which a client that does not read is taken as gone. */
const STALL_MS = 120_000;

export const eventStream = "text/event-stream";
export const jsonLines = "application/x-ndjson";

/** How a stream is written. */
export interface StreamForm<T> {
  write(value: T): string;
  /** What follows the last value. */
  end(): Promise<string>;
  /** An error after the first piece. */
  failed(error: unknown): string;
}

/**
 * Sends a response piece by piece, each one as soon as its value comes. The headers are sent with the first piece, so that an
 * error before it has a status of its own (unless it comes after a long wait). Waits while the client reads slower than the
 * pieces come.
 */
export async function sendStream<T>(
  exchange: Exchange,
  contentType: string,
  values: AsyncIterable<T>,
  form: StreamForm<T>,
): Promise<void> {
  const { outgoing, signal, redact } = exchange;
  const comments = contentType === eventStream ? new Comments(exchange, contentType) : undefined;
  let last = "";
  try {
    for await (const value of values) {
      signal.throwIfAborted();
      const piece = form.write(value);
      const { socket } = outgoing;
      // The headers and the first piece in one packet.
      const isFirst = !outgoing.headersSent;
      if (isFirst) socket?.cork();
      if (isFirst) sendHeaders(exchange, contentType);
      if (comments !== undefined) comments.isSilent = false;
      const full = piece === "" ? undefined : writeChunk(outgoing, piece);
      if (isFirst) socket?.uncork();
      if (full !== undefined) await drained(exchange, full);
    }
    last = await form.end();
    signal.throwIfAborted();
    if (!outgoing.headersSent) sendHeaders(exchange, contentType);
  } catch (error) {
    if (!outgoing.headersSent) throw error;
    last = redact(form.failed(error));
  } finally {
    comments?.stop();
  }
  outgoing.end(outgoing.destroyed ? undefined : last);
}

/**
 * Writes a chunk; returns what has to drain before the next one. Node's own `write` of a chunked response writes four
 * pieces (length, line end, text, line end) through two queues, which costs more than making the text.
 */
function writeChunk(outgoing: ServerResponse, text: string): EventEmitter | undefined {
  const { socket } = outgoing;
  // Without a socket, another response on this connection comes first.
  if (socket === null || !outgoing.chunkedEncoding) return outgoing.write(text) ? undefined : outgoing;
  return socket.write(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`) ? undefined : socket;
}

/**
 * Sends a comment, which clients skip, where no event comes for long: a request that waits in the queue is not taken for
 * dead by proxies, and a client that is gone is noticed.
 */
class Comments {
  /** Whether no event came since the last look. */
  isSilent = true;
  readonly #timer: NodeJS.Timeout;

  constructor(exchange: Exchange, contentType: string) {
    const { outgoing } = exchange;
    // Not restarted by every event, which would take as long as writing it: a comment comes after one to two intervals.
    this.#timer = setInterval(() => {
      const isFull = outgoing.writableNeedDrain || outgoing.socket?.writableNeedDrain === true;
      if (this.isSilent && !outgoing.destroyed && !isFull) {
        if (!outgoing.headersSent) sendHeaders(exchange, contentType);
        outgoing.write(": waiting\n\n");
      }
      this.isSilent = true;
    }, exchange.silenceMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

function sendHeaders({ outgoing }: Exchange, contentType: string): void {
  outgoing.writeHead(200, {
    "content-type": contentType,
    "cache-control": "no-cache",
    // Proxies like nginx would collect the pieces.
    "x-accel-buffering": "no",
  });
  outgoing.flushHeaders();
}

/** Waits until the client has read what was written to `full`. @throws ClientGone if it does not. */
function drained(exchange: Exchange, full: EventEmitter): Promise<void> {
  const { outgoing, signal } = exchange;
  return new Promise((resolve, reject) => {
    const end = (error?: unknown) => {
      clearTimeout(timer);
      full.off("drain", end);
      signal.removeEventListener("abort", onAbort);
      if (error === undefined) resolve();
      else reject(error);
    };
    const onAbort = () => end(signal.reason);
    const timer = setTimeout(() => {
      outgoing.destroy();
      end(new ClientGone());
    }, STALL_MS);
    full.once("drain", end);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
}

/** A server-sent event without a name. */
export function dataEvent(value: unknown): string {
  return `data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`;
}

/** A server-sent event with a name. */
export function namedEvent(name: string, value: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(value)}\n\n`;
}
