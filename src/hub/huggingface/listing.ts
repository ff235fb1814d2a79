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
  /** Undefined if the hub gives none. */
  readonly digest: Digest | undefined;
}

/** The files of a repository at one commit. */
export interface Listing {
  readonly commit: string;
  readonly files: ReadonlyMap<string, RepositoryFile>;
}

/** A page of 1,000 files takes 300 kB, a model's information less than 1 MB. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
/** Deeper than any response of the hub. */
const MAX_ANSWER_DEPTH = 32;
/** Pages per listing; leaves room for smaller pages. */
const MAX_PAGES = 100;
/** The largest model repositories have a few thousand files. */
const MAX_LISTED_FILES = 20_000;

/**
 * Lists the files of a repository at a revision. Later downloads use the commit found here. The requests are made by
 * @huggingface/hub through a `fetch` of ours, which handles redirects, retries, size limits and the token.
 * Errors: "download"; "usage" for an invalid revision; the signal's reason.
 */
export async function listRepository(client: HubClient, repository: string, revision: string): Promise<Listing> {
  if (!/^[\w./-]{1,200}$/.test(revision) || revision.includes(".."))
    throw new IdlmError("usage", {
      problem: `${quote(revision)} is not a valid revision`,
      hint: "Use a branch, a tag or a commit.",
    });
  const commit = /^[0-9a-f]{40}$/.test(revision) ? revision : await findCommit(client, repository, revision);
  const files = new Map<string, RepositoryFile>();
  const request = {
    repo: repository,
    revision: encodeURIComponent(commit),
    recursive: true,
    hubUrl: client.access.endpoint,
  };
  const tooMany = () => client.failure(repository, `it has more than ${MAX_LISTED_FILES} files`);
  for await (const entry of listFiles({ ...request, fetch: boundedFetch(client, repository, "array") })) {
    const file = readEntry(entry);
    if (file === undefined) continue;
    if (files.size >= MAX_LISTED_FILES) throw tooMany();
    if (files.has(file.path)) throw client.failure(repository, `${client.host} lists ${quote(file.path)} twice`);
    files.set(file.path, file);
  }
  return { commit, files };
}

/** The current commit of a branch or tag; the revision itself if the hub does not report commits. */
async function findCommit(client: HubClient, repository: string, revision: string): Promise<string> {
  const request = { name: repository, revision, hubUrl: client.access.endpoint, additionalFields: ["sha" as const] };
  const { sha } = await modelInfo({ ...request, fetch: boundedFetch(client, repository, "object") });
  // It becomes part of a URL.
  return typeof sha === "string" && /^[\w-]{1,64}$/.test(sha) ? sha : revision;
}

/** One entry of a listing, which may hold anything; undefined for a folder. */
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

/** A `fetch` for the client library that returns complete responses, checked to be JSON of limited size. */
function boundedFetch(client: HubClient, subject: string, kind: "array" | "object"): typeof globalThis.fetch {
  let nRequests = 0;
  return async (input) => {
    if (++nRequests > MAX_PAGES) throw client.failure(subject, `its listing has more than ${MAX_PAGES} pages`);
    const address = input instanceof Request ? input.url : String(input);
    const { bytes, link } = await client.retrying(subject, async () => {
      // A 404 is accepted from servers that have files but no model information.
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
        throw client.failure(subject, `the response of ${client.host} exceeds ${MAX_ANSWER_BYTES} bytes`);
      if (performance.now() > deadline) throw new TransientFailure(`${client.host}: the response takes too long`);
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
    const hint = "Check HF_ENDPOINT, and whether a network login page responds in the hub's place.";
    throw client.failure(subject, `the response of ${client.host} is not JSON`, hint);
  }
  const found = Array.isArray(value) ? "array" : typeof value;
  if (value === null || found !== kind)
    throw client.failure(subject, `the response of ${client.host} is not the expected JSON`);
}
