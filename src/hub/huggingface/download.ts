import type { Response } from "undici";
import { IdlmError } from "../../errors.ts";
import { algorithmName, type Digest } from "../store/digest.ts";
import type { Stamp } from "../store/stamps.ts";
import { type HubClient, MIN_WINDOW_BYTES } from "./client.ts";
import { PartialFile } from "./partial-file.ts";
import { TransientFailure } from "./retry.ts";

/** A connection that received this much, or 1 % of the file, counts as progress and resets the retries. */
const PROGRESS_BYTES = 1024 * 1024;

export interface Download {
  /** The file's name in messages. */
  readonly subject: string;
  readonly address: string;
  readonly nBytes: number;
  readonly digest: Digest;
  /** The file that receives the bytes. */
  readonly partialPath: string;
  readonly mayBeOpenElsewhere: boolean;
}

export interface DownloadOptions {
  /** Receives the bytes downloaded so far; the number drops if the download starts over. */
  readonly onProgress?: ((bytesDone: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Downloads a file to `partialPath`, resuming what is there, over as many connections as needed, and checks its length
 * and digest. Returns the file's stamp. On any error but "checksum" the bytes are kept, to be resumed later.
 * Errors: "download", "checksum"; file system errors; the signal's reason.
 */
export async function download(client: HubClient, wanted: Download, options: DownloadOptions = {}): Promise<Stamp> {
  const { subject, partialPath, digest, nBytes } = wanted;
  const { onProgress, signal } = options;
  const { mayBeOpenElsewhere } = wanted;
  const partial = await PartialFile.open(partialPath, { digest, nBytes, mayBeOpenElsewhere, onProgress, signal });
  try {
    for (let isLast = false; ; isLast = true) {
      const isPatched = await fetchBytes(client, wanted, partial, options);
      const hex = partial.digest();
      if (hex === digest.hex) return await partial.finish();
      // Bytes from several connections, or from an earlier run, may not belong together: start over, once.
      if (!isPatched || isLast) {
        await partial.remove();
        const hint = "Pull it again. If that does not help, the hub's file does not match its listing.";
        const parameters = { path: subject, algorithm: algorithmName(digest), found: hex, expected: digest.hex, hint };
        throw new IdlmError("checksum", parameters);
      }
      await partial.restart();
    }
  } finally {
    await partial.close();
  }
}

/** Downloads all bytes. Returns whether they come from more than one connection. */
async function fetchBytes(
  client: HubClient,
  wanted: Download,
  partial: PartialFile,
  options: DownloadOptions,
): Promise<boolean> {
  const step = Math.min(PROGRESS_BYTES, Math.ceil(wanted.nBytes / 100));
  let reached = partial.length;
  let isPatched = partial.length > 0;
  await client.retrying(wanted.subject, async (progressed) => {
    if (partial.length === wanted.nBytes) return;
    const started = await openBody(client, wanted, partial, options.signal);
    isPatched = partial.length > 0;
    await receive(client, wanted, partial, started, () => {
      options.onProgress?.(partial.length);
      if (partial.length < reached + step) return;
      reached = partial.length;
      progressed();
    });
  });
  return isPatched;
}

/** A response with the bytes from `partial.length` on, and how to end it. */
interface Transfer {
  readonly response: Response;
  readonly abort: () => void;
  readonly done: () => void;
}

/** Requests the missing bytes; restarts `partial` if the server cannot resume. */
async function openBody(
  client: HubClient,
  { subject, address, nBytes }: Download,
  partial: PartialFile,
  signal: AbortSignal | undefined,
): Promise<Transfer> {
  const transfer = new AbortController();
  const abort = () => transfer.abort(signal?.reason);
  signal?.addEventListener("abort", abort, { once: true });
  const done = () => signal?.removeEventListener("abort", abort);
  try {
    const from = partial.length;
    // Compressed bytes could be neither counted nor resumed.
    const headers: Record<string, string> = { "accept-encoding": "identity" };
    if (from > 0) headers.range = `bytes=${from}-`;
    // Only a strong ETag guarantees the same bytes.
    if (from > 0 && partial.tag?.startsWith('"')) headers["if-range"] = partial.tag;
    const response = await client.get(subject, address, headers, from > 0 ? [206, 416] : [], transfer.signal);
    const tag = response.headers.get("etag") ?? undefined;
    if (response.status === 200) {
      await partial.restart(tag);
    } else if (response.status === 416 || !continues(response, from, nBytes, tag, partial.tag)) {
      await response.body?.cancel().catch(() => {});
      await partial.restart();
      throw new TransientFailure(`${client.host} cannot resume after ${from} bytes`, 0);
    }
    return { response, abort: () => transfer.abort(), done };
  } catch (error) {
    done();
    throw error;
  }
}

/** Whether a 206 response holds the missing bytes of the same content. */
function continues(
  { headers }: Response,
  from: number,
  nBytes: number,
  tag: string | undefined,
  known: string | undefined,
): boolean {
  const [, start, total] = /^bytes (\d{1,16})-\d{1,16}\/(\d{1,16}|\*)$/.exec(headers.get("content-range") ?? "") ?? [];
  const encoding = headers.get("content-encoding") ?? "identity";
  const isSame = tag === undefined || known === undefined || tag === known;
  return Number(start) === from && (total === "*" || Number(total) === nBytes) && encoding === "identity" && isSame;
}

/** Appends the missing bytes of a body to `partial`. A body that ends early is a `TransientFailure`. */
async function receive(
  client: HubClient,
  { nBytes }: Download,
  partial: PartialFile,
  { response, abort, done }: Transfer,
  onBytes: () => void,
): Promise<void> {
  const { windowMs } = client.timing;
  let inWindow = 0;
  let isStalled = false;
  const watchdog = setInterval(() => {
    isStalled = inWindow < MIN_WINDOW_BYTES;
    inWindow = 0;
    if (isStalled) abort();
  }, windowMs);
  const reader = response.body?.getReader();
  try {
    while (partial.length < nBytes) {
      const piece = await reader?.read().catch((error: unknown) => {
        if (isStalled) throw new TransientFailure(`${client.host} stalled for ${windowMs / 1000} s`);
        throw client.connectionFailure(error, client.host);
      });
      const chunk = piece?.value as Uint8Array | undefined;
      if (chunk === undefined) throw new TransientFailure(`${client.host} sent ${partial.length} of ${nBytes} bytes`);
      inWindow += chunk.length;
      await partial.append(chunk.subarray(0, nBytes - partial.length));
      onBytes();
    }
  } finally {
    clearInterval(watchdog);
    done();
    await reader?.cancel().catch(() => {});
  }
}
