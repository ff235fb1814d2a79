import { EventParser } from "./server-sent-events.ts";
import type { WireChunk, WireError } from "./wire.ts";

/** Why a request failed, as far as the page has to know. */
export type FailureKind =
  /** No connection, or it broke. */
  | "gone"
  /** The queue is full, the key's limit is reached, or the model is loading. */
  | "busy"
  /** A key is missing or wrong. */
  | "key"
  /** The request is wrong; asking again does not help. */
  | "refused";

export class RequestFailure extends Error {
  readonly kind: FailureKind;
  /** When to ask again, if the server says so. */
  readonly retryAfterSeconds: number | undefined;

  constructor(kind: FailureKind, message: string, retryAfterSeconds?: number) {
    super(message);
    this.kind = kind;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** Where the server is and how it is asked. */
export interface Connection {
  /** Without a slash at the end; empty: the page's own server. */
  readonly url: string;
  readonly key: string;
  readonly fetch: typeof fetch;
}

/** Asks for a text or JSON. @throws RequestFailure, or AbortError if `signal` says so. */
export async function request(
  connection: Connection,
  path: string,
  init: { readonly body?: unknown; readonly signal?: AbortSignal } = {},
): Promise<Response> {
  const { url, key } = connection;
  const { body, signal } = init;
  let response: Response;
  try {
    response = await connection.fetch(`${url}${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: {
        ...(body !== undefined && { "content-type": "application/json" }),
        ...(key !== "" && { authorization: `Bearer ${key}` }),
      },
      cache: "no-store",
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(signal && { signal }),
    });
  } catch (error) {
    throw isAbort(error) ? error : new RequestFailure("gone", "The server does not answer.");
  }
  if (!response.ok) throw await failureOf(response);
  return response;
}

/** The chunks of a streamed answer. @throws RequestFailure, also if the stream ends before its end. */
export async function* streamChat(
  connection: Connection,
  body: unknown,
  signal: AbortSignal,
): AsyncGenerator<WireChunk, void, undefined> {
  const response = await request(connection, "/v1/chat/completions", { body, signal });
  const reader = response.body?.getReader();
  if (reader === undefined) throw new RequestFailure("gone", "The server sent no answer.");
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw isAbort(error) ? error : new RequestFailure("gone", "The connection broke.");
      });
      if (done) throw new RequestFailure("gone", "The connection ended before the answer did.");
      for (const data of parser.push(value)) {
        if (data === "[DONE]") return;
        const chunk = JSON.parse(data) as WireChunk;
        if (chunk.error) throw new RequestFailure("refused", messageOf(chunk.error));
        yield chunk;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

export function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}

async function failureOf(response: Response): Promise<RequestFailure> {
  const body = (await response.json().catch(() => undefined)) as FailureBody | undefined;
  const other = body?.status === "loading" ? "The model is being loaded." : undefined;
  const message = messageOf(body?.error) || (other ?? `The server answered with status ${response.status}.`);
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  return new RequestFailure(kindOf(response.status), message, Number.isFinite(seconds) ? seconds : undefined);
}

interface FailureBody {
  readonly error?: WireError;
  /** Of /health. */
  readonly status?: string;
}

function kindOf(status: number): FailureKind {
  if (status === 401) return "key";
  return status === 429 || status === 503 ? "busy" : "refused";
}

function messageOf(error: WireError | undefined): string {
  return error?.message ?? "";
}
