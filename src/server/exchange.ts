import { setMaxListeners } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { usage } from "../engine/request/request-values.ts";
import { IdlmError, type KeyNames } from "../errors.ts";
import type { ApiFamily } from "./api-family.ts";
import { decoderOf } from "./content-encoding.ts";
import { shownError } from "./shown-error.ts";

type Headers = Readonly<Record<string, string>>;

/** A request and its response. */
export class Exchange {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  /** Identifies it in the log and in the header x-request-id. */
  readonly id: string;
  readonly path: string;
  readonly api: ApiFamily;
  readonly startMs = performance.now();
  /** The body's names of the engine's keys, for messages; set by the route that reads the body. */
  names: KeyNames = {};
  /** The model that answers, for the log. */
  model: string | undefined;
  /** Whose share of the machine it takes: a hash of the key; "": no key. */
  share = "";
  /** Counts tokens of its answer towards the limit of its key. */
  spend: (nTokens: number) => void = () => {};
  /** Milliseconds without an event after which a stream sends a comment. */
  silenceMs = SILENCE_MS;
  /** Pieces of a stream that may share a write. */
  streamInterval: () => number = () => 1;
  /**
   * Longest time in milliseconds that a piece waits for others. Pieces that come less often are written at once: they
   * would come by jumps.
   */
  holdMs = HOLD_MS;
  /** When to try again, for a request that is refused. */
  retryAfterSeconds = 1;
  /** The body, for the log. */
  body: unknown;
  /** Replaces paths of the machine in what is sent. */
  redact: (text: string) => string = (text) => text;
  readonly #controller = new AbortController();
  readonly #maxBodyBytes: number;

  constructor(
    incoming: IncomingMessage,
    outgoing: ServerResponse,
    id: string,
    path: string,
    api: ApiFamily,
    limits: { readonly maxBodyBytes: number },
  ) {
    this.incoming = incoming;
    this.outgoing = outgoing;
    this.id = id;
    this.path = path;
    this.api = api;
    this.#maxBodyBytes = limits.maxBodyBytes;
    setMaxListeners(0, this.signal);
    outgoing.once("close", () => {
      if (!outgoing.writableFinished) this.abort(new ClientGone());
    });
  }

  /** Aborted when the client has disconnected, the time is over, or the server stops. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Aborts the request; `reason` becomes its response if none has begun. */
  abort(reason: Error): void {
    this.#controller.abort(reason);
  }

  /** An error in the form of the path's API: what a client may know of it. */
  errorOf(error: unknown): { readonly status: number; readonly body: unknown } {
    return this.api.errorBody(shownError(error, this.id), this.names, this.id);
  }

  header(name: string): string | undefined {
    const value = this.incoming.headers[name];
    return Array.isArray(value) ? value.join(", ") : value;
  }

  /** The body as JSON. @throws IdlmError "body-too-large", "encoding-unknown", "usage". */
  async json(): Promise<unknown> {
    const decode = decoderOf(this.header("content-encoding"));
    const sent = await this.#body();
    const bytes = (await decode?.(sent, { maxOutputLength: this.#maxBodyBytes })) ?? sent;
    let text: string;
    try {
      text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch {
      throw usage("the body is not UTF-8");
    }
    checkShape(text);
    try {
      this.body = JSON.parse(text);
    } catch (error) {
      throw usage(`the body is not JSON: ${error instanceof Error ? error.message : String(error)}`);
    }
    return this.body;
  }

  /** Sends a whole response; a body that is not a string as JSON. */
  send(status: number, body: unknown, headers: Headers = {}): void {
    const { outgoing } = this;
    if (outgoing.headersSent || outgoing.destroyed) return;
    const text = this.redact(typeof body === "string" ? body : JSON.stringify(body));
    const bytes = Buffer.from(text, "utf8");
    outgoing.writeHead(status, {
      "content-type": "application/json",
      ...headers,
      "content-length": String(bytes.byteLength),
      // Closed: it could be used again only after the rest of the body has been read.
      ...(hasUnreadBody(this.incoming) && { connection: "close" }),
    });
    outgoing.end(this.incoming.method === "HEAD" ? undefined : bytes);
  }

  async #body(): Promise<Buffer> {
    const { incoming, outgoing } = this;
    const tooLarge = () => new IdlmError("body-too-large", { max: this.#maxBodyBytes });
    const declared = Number(incoming.headers["content-length"] ?? 0);
    if (declared > this.#maxBodyBytes) throw tooLarge();
    if (/^100-continue$/i.test(incoming.headers.expect ?? "")) outgoing.writeContinue();
    return new Promise((resolve, reject) => {
      const arrived = new GrowingBuffer(this.#maxBodyBytes);
      incoming.on("data", (chunk: Buffer) => {
        if (arrived.push(chunk)) return;
        incoming.pause();
        reject(tooLarge());
      });
      incoming.once("end", () => resolve(arrived.bytes));
      incoming.once("error", () => reject(new ClientGone()));
      incoming.once("close", () => {
        // Every request ends with it; an error, with its stack, takes longer to make than the body to read.
        if (!incoming.complete) reject(new ClientGone());
      });
    });
  }
}

/** A request without a body is answered before it counts as complete. */
function hasUnreadBody({ complete, headers }: IncomingMessage): boolean {
  return !complete && (headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0);
}

/** Streams of a hundred tokens per second look the same with pairs of them. */
const HOLD_MS = 20;
/** Proxies close connections that are silent for a minute, or less. */
const SILENCE_MS = 15_000;

/** Most levels of objects and arrays in a body: far more than any request has, few enough for recursion. */
const MAX_DEPTH = 128;
/** Most objects and arrays, and most values of a body, as far as commas tell: a prompt may be a list of token ids. */
const MAX_OBJECTS = 200_000;
const MAX_VALUES = 2_000_000;
const [QUOTE, BACKSLASH, COMMA] = [0x22, 0x5c, 0x2c];
const [OPENING_BRACKET, CLOSING_BRACKET, OPENING_BRACE, CLOSING_BRACE] = [0x5b, 0x5d, 0x7b, 0x7d];

/** Counts levels and values of a JSON text in one pass, before it is parsed: it may be hostile. @throws IdlmError "usage". */
function checkShape(text: string): void {
  let depth = 0;
  let nOpened = 0;
  let nCommas = 0;
  let isInString = false;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    // Strings may hold brackets.
    if (isInString) {
      if (unit === BACKSLASH) i++;
      else if (unit === QUOTE) isInString = false;
    } else if (unit === QUOTE) isInString = true;
    else if (unit === COMMA) nCommas++;
    else if (unit === OPENING_BRACKET || unit === OPENING_BRACE) {
      nOpened++;
      if (++depth > MAX_DEPTH) throw usage(`the body is nested more than ${MAX_DEPTH} levels deep`);
    } else if (unit === CLOSING_BRACKET || unit === CLOSING_BRACE) depth--;
  }
  if (nOpened > MAX_OBJECTS) throw usage(`the body has more than ${MAX_OBJECTS} objects and arrays`);
  if (nCommas > MAX_VALUES) throw usage(`the body has more than ${MAX_VALUES} values`);
}

/** Bytes that arrive in pieces, which may be as small as a byte: each has a cost of its own where they are kept. */
class GrowingBuffer {
  readonly #most: number;
  #buffer = Buffer.alloc(0);
  #length = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** False: there are too many, and these are left out. */
  push(chunk: Buffer): boolean {
    const length = this.#length + chunk.byteLength;
    if (length > this.#most) return false;
    if (length > this.#buffer.byteLength) {
      const larger = Buffer.alloc(Math.min(this.#most, Math.max(length, 2 * this.#buffer.byteLength)));
      this.bytes.copy(larger);
      this.#buffer = larger;
    }
    chunk.copy(this.#buffer, this.#length);
    this.#length = length;
    return true;
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }
}

/** The client closed the connection. */
export class ClientGone extends Error {
  constructor() {
    super("the client has closed the connection");
    this.name = "AbortError";
  }
}
