import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A file of the hub: large files are listed with their SHA-256, others with their git object name. */
export interface FakeFile {
  readonly content: Buffer;
  readonly isLarge: boolean;
}

export interface SeenRequest {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
}

/** Handles a request itself, or returns false for the default response. */
export type Misbehaviour = (request: IncomingMessage, response: ServerResponse) => boolean;

export function sha256(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

/** Deterministic pseudo-random bytes. */
export function madeBytes(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** A hub with one repository, org/repo, on a local port; tests can make it misbehave. */
export class FakeHub {
  readonly files = new Map<string, FakeFile>();
  readonly seen: SeenRequest[] = [];
  commit = "0123456789abcdef0123456789abcdef01234567";
  /** Called first, for requests of files. */
  onFile: Misbehaviour = () => false;
  /** Called first, for requests of listings and revisions. */
  onApi: Misbehaviour = () => false;
  /** ETag of a file; undefined: none. */
  tagOf: (file: FakeFile) => string | undefined = ({ content }) => `"${sha256(content)}"`;
  endpoint = "";
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  static async start(): Promise<FakeHub> {
    const hub = new FakeHub();
    await new Promise<void>((resolve) => hub.#server.listen(0, "127.0.0.1", resolve));
    hub.endpoint = `http://127.0.0.1:${(hub.#server.address() as AddressInfo).port}`;
    return hub;
  }

  /** For `pull`: this hub, without the token of the user who runs the tests. */
  get environment(): NodeJS.ProcessEnv {
    return { HF_ENDPOINT: this.endpoint, HF_TOKEN_PATH: "/nonexistent" };
  }

  add(path: string, content: Buffer | string, isLarge = true): this {
    this.files.set(path, { content: Buffer.from(content as Buffer), isLarge });
    return this;
  }

  /** Requests of files so far: path and range. */
  get fetched(): string[] {
    return this.seen
      .filter(({ path }) => path.includes("/resolve/"))
      .map(({ path, headers }) => `${path.replace(/^.*\/resolve\/[^/]+\//, "")} ${headers.range ?? "all"}`);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = decodeURIComponent((request.url ?? "").split("?")[0] ?? "");
    this.seen.push({ path, headers: request.headers });
    if (path.startsWith("/api/")) {
      if (!this.onApi(request, response)) this.#answerApi(path, response);
      return;
    }
    if (this.onFile(request, response)) return;
    const file = this.files.get(path.replace(/^\/org\/repo\/resolve\/[^/]+\//, ""));
    if (file === undefined) response.writeHead(404, { "x-error-code": "EntryNotFound" }).end();
    else sendFile(request, response, file.content, this.tagOf(file));
  }

  #answerApi(path: string, response: ServerResponse): void {
    if (path.startsWith("/api/models/org/repo/revision/")) {
      sendJson(response, { _id: "1", id: "org/repo", sha: this.commit });
    } else if (path.startsWith("/api/models/org/repo/tree/")) {
      sendJson(response, this.listing());
    } else {
      response.writeHead(404, { "x-error-code": "RepoNotFound" }).end();
    }
  }

  listing(): unknown[] {
    return [...this.files].map(([path, { content, isLarge }]) => {
      const size = content.length;
      const oid = createHash("sha1").update(`blob ${size}\0`).update(content).digest("hex");
      const lfs = { oid: sha256(content), size, pointerSize: 130 };
      return { type: "file", path, size, oid: isLarge ? "0".repeat(40) : oid, ...(isLarge && { lfs }) };
    });
  }
}

export function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
}

/** Sends a file like a correct server, with ranges and If-Range. */
export function sendFile(request: IncomingMessage, response: ServerResponse, content: Buffer, tag?: string): void {
  const headers = tag === undefined ? {} : { etag: tag };
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? Number.NaN);
  const ifRange = request.headers["if-range"];
  if (Number.isNaN(from) || (ifRange !== undefined && ifRange !== tag)) {
    response.writeHead(200, { ...headers, "content-length": content.length }).end(content);
  } else if (from >= content.length) {
    response.writeHead(416, { "content-range": `bytes */${content.length}` }).end();
  } else {
    const range = `bytes ${from}-${content.length - 1}/${content.length}`;
    const length = content.length - from;
    response
      .writeHead(206, { ...headers, "content-range": range, "content-length": length })
      .end(content.subarray(from));
  }
}
