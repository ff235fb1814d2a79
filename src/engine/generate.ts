import { createHash } from "node:crypto";
import type { BackendInfo, Drawn, LoadedModel } from "../compute/backend.ts";
import { Decoder } from "../decoding/decoder.ts";
import { LookupProposer } from "../decoding/lookup-proposer.ts";
import { FixedPlanner, type Planner } from "../decoding/planner.ts";
import { MaskProposer, type Proposer } from "../decoding/proposer.ts";
import { extraRows, layOut, type RoundRows } from "../decoding/round.ts";
import type { GenerationSink } from "./generation.ts";
import { CHUNK_ROWS, MAX_ROUND_ROWS } from "./limits.ts";
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
  const { ids, settings, rounds } = request;
  const { verification } = rounds;
  const startMs = performance.now();
  let firstTokenMs: number | undefined;
  sequence.keepPrefix(ids);
  const cachedTokens = sequence.length;
  const writer = new TextWriter(tokenizer, request.stop);
  const tokens: number[] = [];
  const logprobs: TokenLogprobs[] = [];
  const sampler = model.createSampler(settings);
  sampler.prompt(Int32Array.from(ids));
  const onToken = ({ token, logprob, top = [] }: Drawn): boolean => {
    firstTokenMs ??= performance.now();
    tokens.push(token);
    if (logprob !== undefined) logprobs.push({ token, logprob, top });
    return writer.push(token);
  };
  const decoder = new Decoder({
    prompt: ids,
    sampler,
    proposers: proposersOf(request),
    planner: plannerOf(rounds),
    verification,
    maxTokens: request.maxTokens,
    maxRun: rounds.maxRun,
    maxRows: MAX_ROUND_ROWS,
    endTokens,
    onToken,
  });
  try {
    await decoder.propose(sink.signal);
    while (decoder.finishReason === undefined && !sink.signal.aborted) {
      const plan = decoder.plan(sequence, CHUNK_ROWS);
      sequence.reserve(plan.pending.length + decoder.nScratchRows);
      const { forest, rows } = layOut([{ ...plan, sequence }]);
      const result = await model.forward(forest, sequence.cache);
      const written = decoder.digest(model, sequence, plan, result, rows[0] as RoundRows);
      if (plan.sampler === undefined) continue;
      // At once: the forward's result does not outlive the next forward.
      if (decoder.finishReason === undefined) await decoder.propose(sink.signal);
      if (written.length > 0) {
        const tokens = written.map(({ token }) => token);
        sink.emit({ text: writer.takeNew(), tokens, round: extraRows(plan) });
      }
    }
  } finally {
    await decoder.dispose();
  }
  writer.end();
  const rest = writer.takeNew();
  if (rest !== "") sink.emit({ text: rest, tokens: [] });
  const endMs = performance.now();
  const { forwards, acceptance } = decoder;
  return {
    text: writer.text,
    tokens,
    sha256: createHash("sha256").update(writer.text, "utf8").digest("hex"),
    finishReason: decoder.finishReason ?? "cancelled",
    forwards,
    tokensPerForward: forwards === 0 ? 0 : decoder.nDrawn / forwards,
    proposedByDepth: acceptance.proposed,
    acceptedByDepth: acceptance.accepted,
    acceptanceByDepth: acceptance.byDepth,
    rounds: decoder.roundCounts,
    prefillMs: (firstTokenMs ?? endMs) - startMs,
    decodeMs: endMs - (firstTokenMs ?? endMs),
    promptTokens: ids.length,
    cachedTokens,
    stride: rounds.stride,
    propose: rounds.propose,
    shape: rounds.shape,
    verify: verification.mode,
    ...(verification.mode === "relaxed" ? { tau: verification.tau } : {}),
    ...(settings.logprobs < 0 ? {} : { logprobs }),
    instructionSet: backend.instructionSet,
    threads: backend.threads,
    numerics: backend.numerics,
    lossless: verification.mode !== "relaxed",
  };
}

function proposersOf({ rounds }: CheckedRequest): Proposer[] {
  return rounds.sources.flatMap((kind): Proposer[] => {
    if (kind === "mask") return [new MaskProposer()];
    return kind === "lookup" ? [new LookupProposer()] : [];
  });
}

function plannerOf({ shape, stride }: CheckedRequest["rounds"]): Planner {
  if (shape === "chain" || shape === "quadratic") return new FixedPlanner(shape, stride);
  return new FixedPlanner("quadratic", Math.min(stride, 2));
}
