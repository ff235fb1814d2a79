import type { LoadedModel } from "../../compute/loaded-model.ts";
import type { Drawn } from "../../compute/sampling/draw.ts";
import type { Controller } from "../../decoding/controller/controller.ts";
import type { DraftModel } from "../../decoding/proposers/draft-model.ts";
import { proposers } from "../../decoding/proposers/registry.ts";
import { Decoder } from "../../decoding/round/decoder.ts";
import { SequenceGrammar } from "../../decoding/round/sequence-grammar.ts";
import { MAX_ROUND_ROWS } from "../limits.ts";
import type { CheckedRequest } from "../request/request.ts";
import type { TextTokenizer } from "../types.ts";

/** What all decoders of a model share. */
export interface DecodingParts {
  readonly model: LoadedModel;
  readonly draft: DraftModel | undefined;
  /** Learns the time of steps and the acceptance of proposals. */
  readonly controller: Controller;
  readonly endTokens: ReadonlySet<number>;
  readonly tokenizer: TextTokenizer | undefined;
}

export function createDecoder(
  parts: DecodingParts,
  request: CheckedRequest,
  onToken: (drawn: Drawn) => boolean,
): Decoder {
  const { model, draft, controller } = parts;
  const { ids, rounds, settings, maxTokens, stopTokens, predicted: prediction } = request;
  const endTokens = stopTokens.length === 0 ? parts.endTokens : new Set([...parts.endTokens, ...stopTokens]);
  const grammar = request.grammar === undefined ? undefined : new SequenceGrammar(request.grammar.start);
  const { tokenizer } = parts;
  const forced =
    grammar === undefined ? undefined : { grammar, encode: (text: string) => tokenizer?.encode(text) ?? [] };
  const proposeFor = rounds.verification.mode === "exact" ? "exact" : "rejection";
  const proposerParts = { draft, prediction, settings, proposeFor, endTokens, forced } as const;
  const sampler = model.createSampler(settings);
  sampler.prompt(Int32Array.from(ids));
  return new Decoder({
    prompt: ids,
    sampler,
    proposers: rounds.sources.map((kind) => proposers[kind].create(proposerParts)),
    planner: controller.planner(rounds),
    verification: rounds.verification,
    maxTokens,
    maxRun: rounds.maxRun,
    maxRows: MAX_ROUND_ROWS,
    endTokens,
    grammar,
    onToken,
  });
}
