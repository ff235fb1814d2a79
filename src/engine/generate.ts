import { createHash } from "node:crypto";
import type { BackendInfo, Drawn, LoadedModel } from "../compute/backend.ts";
import { decode, newDecodeState } from "../decoding/decode.ts";
import { LookupProposer } from "../decoding/lookup-proposer.ts";
import { maskProposer, noProposer, type Proposer } from "../decoding/proposer.ts";
import type { GenerationSink } from "./generation.ts";
import { CHUNK_ROWS } from "./limits.ts";
import type { KvSequence } from "./page-pool.ts";
import type { CheckedRequest } from "./request.ts";
import { TextWriter } from "./text-writer.ts";
import type { GenerationResult, TextTokenizer, TokenLogprobs } from "./types.ts";

/** What a generation runs on. */
export interface GenerateContext {
  readonly model: LoadedModel;
  readonly backend: BackendInfo;
  readonly tokenizer: TextTokenizer | undefined;
  readonly endTokens: ReadonlySet<number>;
  readonly sequence: KvSequence;
}

/** Runs one request to its end on a sequence whose cached tokens are reused as far as the prompt shares them. */
export async function generate(
  context: GenerateContext,
  request: CheckedRequest,
  sink: GenerationSink,
): Promise<GenerationResult> {
  const { model, backend, tokenizer, endTokens, sequence } = context;
  const { ids, settings, propose, stride } = request;
  const startMs = performance.now();
  let firstTokenMs: number | undefined;
  sequence.keepPrefix(ids);
  const cachedTokens = sequence.length;
  const writer = new TextWriter(tokenizer, request.stop);
  const tokens: number[] = [];
  const logprobs: TokenLogprobs[] = [];
  const state = newDecodeState();
  const sampler = model.createSampler(settings);
  try {
    sampler.prompt(Int32Array.from(ids));
    const onToken = ({ token, logprob, top = [] }: Drawn): boolean => {
      firstTokenMs ??= performance.now();
      tokens.push(token);
      if (logprob !== undefined) logprobs.push({ token, logprob, top });
      return writer.push(token);
    };
    const rounds = decode(
      {
        model,
        kv: sequence,
        prompt: ids,
        sampler,
        proposer: proposerOf(propose),
        stride,
        shape: request.shape,
        maxTokens: request.maxTokens,
        chunkRows: CHUNK_ROWS,
        endTokens,
        onToken,
        signal: sink.signal,
      },
      state,
    );
    for await (const round of rounds) sink.emit({ text: writer.takeNew(), tokens: round });
  } finally {
    sampler.dispose();
  }
  writer.end();
  const rest = writer.takeNew();
  if (rest !== "") sink.emit({ text: rest, tokens: [] });
  const endMs = performance.now();
  const { forwards, acceptance } = state;
  return {
    text: writer.text,
    tokens,
    sha256: createHash("sha256").update(writer.text, "utf8").digest("hex"),
    finishReason: state.finishReason ?? "cancelled",
    forwards,
    tokensPerForward: forwards === 0 ? 0 : state.drawn / forwards,
    proposedByDepth: acceptance.proposed,
    acceptedByDepth: acceptance.accepted,
    acceptanceByDepth: acceptance.byDepth,
    prefillMs: (firstTokenMs ?? endMs) - startMs,
    decodeMs: endMs - (firstTokenMs ?? endMs),
    promptTokens: ids.length,
    cachedTokens,
    stride,
    propose,
    ...(settings.logprobs < 0 ? {} : { logprobs }),
    instructionSet: backend.instructionSet,
    threads: backend.threads,
    numerics: backend.numerics,
    lossless: true,
  };
}

function proposerOf(propose: CheckedRequest["propose"]): Proposer {
  if (propose === "mask") return maskProposer;
  return propose === "lookup" ? new LookupProposer() : noProposer;
}
