import { listFiles, modelInfo } from "@huggingface/hub";
import { IdlmError } from "../../errors.ts";
import { parseJson } from "../../formats/files/json.ts";
import { quote } from "../../formats/files/malformed.ts";
import { type Digest, parseDigest } from "../store/digest.ts";
import type { HubClient } from "./client.ts";
import { TransientFailure } from "./retry.ts";

/** A file of a repository. */
export interface RepositoryFile {
  readonly path: string;
  readonly nBytes: number;
  /** Undefined where the hub tells none. */
  readonly digest: Digest | undefined;
}

/** What a repository holds at one commit. */
export interface Listing {
  readonly commit: string;
  readonly files: ReadonlyMap<string, RepositoryFile>;
}

/** A page of 1,000 files is 300 kB; a model's information below 1 MB. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
/** Deeper than any answer of a hub. */
const MAX_ANSWER_DEPTH = 32;
/** Pages of one listing, with room for small ones. */
const MAX_PAGES = 100;
/** The largest repositories of models have some thousand files. */
const MAX_LISTED_FILES = 20_000;

/**
 * Asks the hub what a repository holds at a revision. All that is fetched later belongs to the commit found here.
 * The requests are those of @huggingface/hub; what they may do (redirects, retries, sizes, the token) is decided here.
 * Errors: "download"; "usage" for a revision that can be none; the signal's reason.
 */
export async function listRepository(client: HubClient, repository: string, revision: string): Promise<Listing> {
  if (!/^[\w./-]{1,200}$/.test(revision) || revision.includes(".."))
    throw new IdlmError("usage", {
      problem: `${quote(revision)} is no revision`,
      hint: "It is a branch, a tag or a commit.",
    });
  const commit = /^[0-9a-f]{40}$/.test(revision) ? revision : await findCommit(client, repository, revision);
  const files = new Map<string, RepositoryFile>();
  const request = {
    repo: repository,
    revision: encodeURIComponent(commit),
    recursive: true,
    hubUrl: client.access.endpoint,
  };
  const tooMany = () => client.failure(repository, `it holds more than ${MAX_LISTED_FILES} files`);
  for await (const entry of listFiles({ ...request, fetch: boundedFetch(client, repository, "array") })) {
    const file = readEntry(entry);
    if (file === undefined) continue;
    if (files.size >= MAX_LISTED_FILES) throw tooMany();
    if (files.has(file.path)) throw client.failure(repository, `${client.host} lists ${quote(file.path)} twice`);
    files.set(file.path, file);
  }
  return { commit, files };
}

/** The commit that a branch or a tag is now; the revision itself where the hub knows nothing of commits. */
async function findCommit(client: HubClient, repository: string, revision: string): Promise<string> {
  const request = { name: repository, revision, hubUrl: client.access.endpoint, additionalFields: ["sha" as const] };
  const { sha } = await modelInfo({ ...request, fetch: boundedFetch(client, repository, "object") });
  // It becomes part of an address.
  return typeof sha === "string" && /^[\w-]{1,64}$/.test(sha) ? sha : revision;
}

/** One entry of a listing; undefined for a folder. Nothing about it is sure. */
function readEntry(entry: unknown): RepositoryFile | undefined {
  if (typeof entry !== "object" || entry === null) return undefined;
  const { type, path, size, oid, lfs } = entry as Record<string, unknown>;
  if (type !== "file" || typeof path !== "string") return undefined;
  const large = typeof lfs === "object" && lfs !== null ? (lfs as Record<string, unknown>) : undefined;
  const nBytes = large?.size ?? size;
  if (typeof nBytes !== "number" || !Number.isSafeInteger(nBytes) || nBytes < 0) return undefined;
  const digest = large === undefined ? parseDigest("git-sha1", oid) : parseDigest("sha256", large.oid);
  return { path, nBytes, digest };
}

/** A fetch for the client library: the hub's answer as a whole, once it is known to be JSON of a bounded size. */
function boundedFetch(client: HubClient, subject: string, kind: "array" | "object"): typeof globalThis.fetch {
  let nRequests = 0;
  return async (input) => {
    if (++nRequests > MAX_PAGES) throw client.failure(subject, `its listing has more than ${MAX_PAGES} pages`);
    const address = input instanceof Request ? input.url : String(input);
    const { bytes, link } = await client.retrying(subject, async () => {
      // A server that has files, but knows nothing of commits, is asked for them all the same.
      const accepted = kind === "object" ? [404] : [];
      const response = await client.get(subject, address, { accept: "application/json" }, accepted);
      const bytes = await readBounded(client, subject, response.body);
      return { bytes: response.status === 404 ? Buffer.from("{}") : bytes, link: response.headers.get("link") };
    });
    requireJson(client, subject, bytes, kind);
    return new Response(bytes, { headers: { "content-type": "application/json", ...(link && { link }) } });
  };
}

async function readBounded(
  client: HubClient,
  subject: string,
  body: AsyncIterable<Uint8Array> | null,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let nBytes = 0;
  const deadline = performance.now() + client.timing.answerMs;
  try {
    for await (const chunk of body ?? []) {
      chunks.push(chunk);
      nBytes += chunk.length;
      if (nBytes > MAX_ANSWER_BYTES)
        throw client.failure(subject, `${client.host} answers with more than ${MAX_ANSWER_BYTES} bytes`);
      if (performance.now() > deadline) throw new TransientFailure(`${client.host}: its answer takes too long`);
    }
  } catch (error) {
    if (error instanceof IdlmError || error instanceof TransientFailure) throw error;
    throw client.connectionFailure(error, client.host);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

function requireJson(client: HubClient, subject: string, bytes: Uint8Array, kind: "array" | "object"): void {
  let value: unknown;
  try {
    value = parseJson(bytes, client.host, "answer", { maxDepth: MAX_ANSWER_DEPTH });
  } catch {
    const hint = "Does HF_ENDPOINT name a hub, and does no portal answer in its place?";
    throw client.failure(subject, `${client.host} does not answer with JSON`, hint);
  }
  const found = Array.isArray(value) ? "array" : typeof value;
  if (value === null || found !== kind)
    throw client.failure(subject, `${client.host} answers with JSON of another kind`);
}
