import type { Drawn, LoadedModel } from "../compute/backend.ts";
import { Decoder } from "../decoding/decoder.ts";
import { LookupProposer } from "../decoding/lookup-proposer.ts";
import { FixedPlanner, type Planner } from "../decoding/planner.ts";
import { MaskProposer, type Proposer } from "../decoding/proposer.ts";
import { MAX_ROUND_ROWS } from "./limits.ts";
import type { CheckedRequest } from "./request.ts";

/** The decoder of a request. */
export function createDecoder(
  model: LoadedModel,
  request: CheckedRequest,
  endTokens: ReadonlySet<number>,
  onToken: (drawn: Drawn) => boolean,
): Decoder {
  const { ids, rounds, settings, maxTokens } = request;
  const sampler = model.createSampler(settings);
  sampler.prompt(Int32Array.from(ids));
  return new Decoder({
    prompt: ids,
    sampler,
    proposers: proposersOf(request),
    planner: plannerOf(rounds),
    verification: rounds.verification,
    maxTokens,
    maxRun: rounds.maxRun,
    maxRows: MAX_ROUND_ROWS,
    endTokens,
    onToken,
  });
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
