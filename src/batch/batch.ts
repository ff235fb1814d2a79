import type { Readable } from "node:stream";
import { answer } from "../answer/answer.ts";
import { shown, usage, wrongKey } from "../engine/request/request-values.ts";
import type { Model } from "../engine/types.ts";
import type { KeyNames } from "../errors.ts";
import { answerLine, type BatchOutput, BatchOutputFile, idOf, lineError, MAX_LINE_BYTES } from "./batch-file.ts";
import { type FileLine, readLines } from "../formats/files/read-lines.ts";
import { endpoints, type OpenAiRequest, readOpenAiRequest } from "../apis/openai/request.ts";
import { openAiError, openAiResponse } from "../apis/openai/response.ts";

export interface BatchOptions {
  /** The requests, one per line: {custom_id, method, url, body}. A path, or a stream. */
  readonly input: string | Readable;
  /** Path of the output file. Requests that have an output there are not run again. */
  readonly output: string;
  /** Model name in the outputs. */
  readonly modelName: string;
  /** Concurrent requests. */
  readonly concurrency: number;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: BatchProgress) => void;
}

export interface BatchProgress {
  /** Bytes of the input processed. */
  bytes: number;
  /** Successful requests. */
  answered: number;
  /** Failed requests and invalid lines. */
  failed: number;
  /** Requests completed by an earlier run. */
  kept: number;
  /** Generated tokens. */
  tokens: number;
}

interface BatchRequest {
  readonly customId: string;
  readonly read: () => OpenAiRequest;
}

/**
 * Runs the requests of a file concurrently. An error of a line is written as its output and does not affect others.
 * When `signal` is aborted, running requests are cancelled without an output, and the next run repeats them. The files
 * are streamed; only the custom_ids are kept in memory. @throws IdlmError "file-malformed" if `output` is another kind
 * of file; file system errors; the signal's reason if nothing has run yet.
 */
export async function runBatch(model: Model, options: BatchOptions): Promise<BatchProgress> {
  const { input, signal, concurrency, onProgress } = options;
  const progress: BatchProgress = { bytes: 0, answered: 0, failed: 0, kept: 0, tokens: 0 };
  const output = await BatchOutputFile.open(options.output, signal);
  const running = new Set<Promise<void>>();
  const seen = new Set<string>();
  let failure: { readonly error: unknown } | undefined;
  const reading = new AbortController();
  const stopReading = () => reading.abort();
  signal.addEventListener("abort", stopReading);
  if (signal.aborted) stopReading();
  const settle = async (answer: BatchOutput | undefined, nBytes: number) => {
    if (answer !== undefined) await output.append(answer);
    progress.bytes += nBytes;
    onProgress(progress);
  };
  const run = async (line: FileLine) => {
    const request = requestOf(line, seen);
    if (request === undefined) return settle(undefined, line.nBytes);
    if ("id" in request ? output.hasLine(request.id) : output.has(request.customId)) {
      progress.kept++;
      return settle(undefined, line.nBytes);
    }
    if ("id" in request) {
      progress.failed++;
      return settle(request, line.nBytes);
    }
    const answer = await answerOf(model, request, options, progress);
    if (answer !== undefined) await settle(answer, line.nBytes);
  };
  try {
    for await (const line of linesOf(input, reading.signal)) {
      if (reading.signal.aborted) break;
      const done = run(line).catch((error: unknown) => {
        failure ??= { error };
        stopReading();
      });
      running.add(done);
      void done.finally(() => running.delete(done));
      if (running.size >= concurrency) await Promise.race(running);
    }
    await Promise.all(running);
    if (failure !== undefined) throw failure.error;
    return progress;
  } finally {
    signal.removeEventListener("abort", stopReading);
    await output.close();
  }
}

/** Ends early when `signal` is aborted; running requests are still awaited. */
async function* linesOf(input: string | Readable, signal: AbortSignal): AsyncGenerator<FileLine> {
  try {
    yield* readLines(input, MAX_LINE_BYTES, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** The request of a line, or the output of an invalid one; undefined: the line is empty. */
function requestOf({ number, text }: FileLine, seen: Set<string>): BatchRequest | BatchOutput | undefined {
  if (text?.trim() === "") return undefined;
  const bad = (problem: string, customId: string | null = null, code = "invalid_line") =>
    lineError(number, customId, code, problem);
  if (text === undefined) return bad(`expected UTF-8 of at most ${MAX_LINE_BYTES} bytes`);
  let line: unknown;
  try {
    line = JSON.parse(text);
  } catch {
    return bad("expected a JSON object");
  }
  if (typeof line !== "object" || line === null || Array.isArray(line)) return bad("expected a JSON object");
  const { custom_id: customId, method, url, body } = line as Readonly<Record<string, unknown>>;
  if (typeof customId !== "string" || customId === "") return bad("custom_id: expected a string that is not empty");
  if (seen.has(customId)) return bad("custom_id: an earlier line has the same", customId, "duplicate_custom_id");
  seen.add(customId);
  const read = () => {
    if (method !== "POST") throw usage(`method: expected POST, found ${shown(method)}`);
    const endpoint = typeof url === "string" && Object.hasOwn(endpoints, url) ? endpoints[url] : undefined;
    if (endpoint === undefined)
      throw usage(`url: expected ${Object.keys(endpoints).join(" or ")}, found ${shown(url)}`);
    const request = readOpenAiRequest(endpoint, body);
    if (request.stream) throw wrongKey("stream", "not supported in a batch", "Leave it out.");
    return request;
  };
  return { customId, read };
}

/** Undefined: cancelled. */
async function answerOf(
  model: Model,
  { customId, read }: BatchRequest,
  { modelName, signal }: BatchOptions,
  progress: BatchProgress,
): Promise<BatchOutput | undefined> {
  const id = idOf(customId);
  let names: KeyNames = {};
  try {
    const request = read();
    names = request.names;
    const answered = await answer(model, { ...request, id }, signal).done;
    if (signal.aborted) return undefined;
    progress.answered++;
    for (const { completion } of answered.choices) progress.tokens += completion.tokens.length;
    const created = Math.floor(Date.now() / 1000);
    const context = {
      id,
      model: modelName,
      created,
      tokenizer: model.tokenizer,
      numerics: model.info.backend.numerics,
    };
    return answerLine(id, customId, 200, openAiResponse(request, answered, context), null);
  } catch (error) {
    if (signal.aborted) return undefined;
    progress.failed++;
    const { status, body } = openAiError(error, names);
    const { code, message } = (body as { error: { code: string; message: string } }).error;
    return answerLine(id, customId, status, body, { code, message });
  }
}
