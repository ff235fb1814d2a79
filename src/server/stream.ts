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
 * Sends a response piece by piece. The headers are sent with the first piece, so that an error before it has a status of its
 * own (unless it comes after a long wait). Pieces that come quickly one after the other share a write; the last ones are
 * written with the end. Waits while the client reads slower than the pieces come.
 */
export async function sendStream<T>(
  exchange: Exchange,
  contentType: string,
  values: AsyncIterable<T>,
  form: StreamForm<T>,
): Promise<void> {
  const { outgoing, signal, redact } = exchange;
  const comments = contentType === eventStream ? new Comments(exchange, contentType) : undefined;
  const pieces = new Pieces(exchange);
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
      if (piece !== "") pieces.push(piece);
      if (isFirst) socket?.uncork();
      if (pieces.full !== undefined) await drained(exchange, pieces.full);
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
  outgoing.end(outgoing.destroyed ? undefined : pieces.take() + last);
}

/** Pieces at the beginning of a stream that are written at once. */
const FIRST_PIECES = 3;

/**
 * Writes pieces of a stream. A write to a socket takes longer than making a token's piece, and has the client wake up, so
 * that several pieces share one if they come quickly.
 */
class Pieces {
  readonly #outgoing: ServerResponse;
  readonly #interval: () => number;
  readonly #holdMs: number;
  /** Pieces that wait for others. */
  #held = "";
  #nHeld = 0;
  #nPushed = 0;
  #lastMs = Number.NEGATIVE_INFINITY;
  /** Writes held pieces if no other comes. */
  #timer: NodeJS.Timeout | undefined;

  constructor({ outgoing, streamInterval, holdMs }: Exchange) {
    this.#outgoing = outgoing;
    this.#holdMs = holdMs;
    this.#interval = streamInterval;
  }

  push(piece: string): void {
    const nowMs = performance.now();
    const comesQuickly = nowMs - this.#lastMs < this.#holdMs;
    this.#lastMs = nowMs;
    this.#held += piece;
    this.#nHeld++;
    const isFirst = this.#nPushed++ < FIRST_PIECES;
    if (isFirst || !comesQuickly || this.#nHeld >= this.#interval()) this.#write();
    else if (this.#nHeld === 1) this.#writeLater();
  }

  /** The held pieces, to be written with the end. */
  take(): string {
    clearTimeout(this.#timer);
    return this.#release();
  }

  /** What has to drain before more is written. */
  get full(): EventEmitter | undefined {
    const { socket, writableNeedDrain } = this.#outgoing;
    if (writableNeedDrain) return this.#outgoing;
    return socket?.writableNeedDrain === true ? socket : undefined;
  }

  #release(): string {
    const held = this.#held;
    this.#held = "";
    this.#nHeld = 0;
    return held;
  }

  #write(): void {
    const text = this.#release();
    if (text !== "") writeChunk(this.#outgoing, text);
  }

  #writeLater(): void {
    // Not cleared by a write: it then has nothing to do, or writes somewhat earlier.
    if (this.#timer === undefined) this.#timer = setTimeout(() => this.#write(), this.#holdMs);
    else this.#timer.refresh();
  }
}

/**
 * Writes a chunk. Node's own `write` of a chunked response writes four pieces (length, line end, text, line end) through two
 * queues, which costs more than making the text.
 */
function writeChunk(outgoing: ServerResponse, text: string): void {
  const { socket } = outgoing;
  if (outgoing.destroyed) return;
  // Without a socket, another response on this connection comes first.
  if (socket === null || !outgoing.chunkedEncoding) outgoing.write(text);
  else socket.write(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`);
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
