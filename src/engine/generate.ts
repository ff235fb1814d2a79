import type { Drawn, LoadedModel } from "../compute/backend.ts";
import { Decoder } from "../decoding/decoder.ts";
import type { Controller } from "../decoding/controller.ts";
import { LookupProposer } from "../decoding/lookup-proposer.ts";
import { FixedPlanner, type Planner } from "../decoding/planner.ts";
import { PredictedProposer } from "../decoding/predicted-proposer.ts";
import { MaskProposer, type Proposer } from "../decoding/proposer.ts";
import { MAX_ROUND_ROWS } from "./limits.ts";
import type { CheckedRequest } from "./request.ts";

/** The decoder of a request. `controller`: the model's. */
export function createDecoder(
  model: LoadedModel,
  controller: Controller,
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
    planner: plannerOf(controller, rounds),
    verification: rounds.verification,
    maxTokens,
    maxRun: rounds.maxRun,
    maxRows: MAX_ROUND_ROWS,
    endTokens,
    onToken,
  });
}

function proposersOf({ rounds, predicted }: CheckedRequest): Proposer[] {
  return rounds.sources.flatMap((kind): Proposer[] => {
    if (kind === "mask") return [new MaskProposer()];
    if (kind === "predicted") return [new PredictedProposer(predicted)];
    return kind === "lookup" ? [new LookupProposer()] : [];
  });
}

function plannerOf(controller: Controller, { shape, stride, verification }: CheckedRequest["rounds"]): Planner {
  return shape === "plain" ? new FixedPlanner("chain", 1) : controller.planner({ shape, stride, verification });
}
