import { ClientGone, type Exchange } from "./exchange.ts";

/** Milliseconds without progress after which a client that does not read is taken as gone. */
const STALL_MS = 120_000;

export const eventStream = "text/event-stream";
export const jsonLines = "application/x-ndjson";

/**
 * Sends a response piece by piece. The headers are sent with the first piece, so that an error before it has a status of
 * its own (unless it comes after a long wait); later ones are sent as `failed` writes them. Waits while the client reads slower than the pieces come.
 */
export async function sendStream(
  exchange: Exchange,
  contentType: string,
  pieces: AsyncIterable<string>,
  failed: (error: unknown) => string,
): Promise<void> {
  const { outgoing, signal, redact } = exchange;
  const comments = contentType === eventStream ? sendComments(exchange, contentType) : undefined;
  const writeLater = writesAfterForwardStarts(outgoing);
  try {
    for await (const piece of pieces) {
      signal.throwIfAborted();
      comments?.refresh();
      writeLater();
      if (!outgoing.headersSent) sendHeaders(exchange, contentType);
      if (piece !== "" && !outgoing.write(piece)) await drained(exchange);
    }
    if (!outgoing.headersSent) sendHeaders(exchange, contentType);
  } catch (error) {
    if (!outgoing.headersSent) throw error;
    if (!outgoing.destroyed) outgoing.write(redact(failed(error)));
  } finally {
    clearTimeout(comments);
  }
  outgoing.end();
}

/**
 * Holds what is written back for two turns of the event loop: the engine starts its next forward in the first one, so that the
 * system calls of all streams run beside the forward, not between two of them.
 */
function writesAfterForwardStarts(outgoing: Exchange["outgoing"]): () => void {
  let isHeld = false;
  const release = () => {
    isHeld = false;
    if (!outgoing.writableEnded) outgoing.uncork();
  };
  return () => {
    if (isHeld) return;
    isHeld = true;
    outgoing.cork();
    setImmediate(() => setImmediate(release));
  };
}

/**
 * Sends a comment, which clients skip, where no event comes for long: a request that waits in the queue is not taken for
 * dead by proxies, and a client that is gone is noticed.
 */
function sendComments(exchange: Exchange, contentType: string): NodeJS.Timeout {
  const { outgoing } = exchange;
  const timer = setTimeout(() => {
    if (outgoing.destroyed || outgoing.writableNeedDrain) return;
    if (!outgoing.headersSent) sendHeaders(exchange, contentType);
    outgoing.write(": waiting\n\n");
    timer.refresh();
  }, exchange.silenceMs);
  return timer;
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

/** Waits until the client has read what was written. @throws ClientGone if it does not. */
function drained(exchange: Exchange): Promise<void> {
  const { outgoing, signal } = exchange;
  return new Promise((resolve, reject) => {
    const end = (error?: unknown) => {
      clearTimeout(timer);
      outgoing.off("drain", end);
      signal.removeEventListener("abort", onAbort);
      if (error === undefined) resolve();
      else reject(error);
    };
    const onAbort = () => end(signal.reason);
    const timer = setTimeout(() => {
      outgoing.destroy();
      end(new ClientGone());
    }, STALL_MS);
    outgoing.once("drain", end);
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
