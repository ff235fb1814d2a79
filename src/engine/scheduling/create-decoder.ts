import type { LoadedModel } from "../../compute/loaded-model.ts";
import type { Drawn } from "../../compute/sampling/draw.ts";
import type { Controller } from "../../decoding/controller/controller.ts";
import { Decoder } from "../../decoding/round/decoder.ts";
import type { DraftModel } from "../../decoding/proposers/draft-model.ts";
import { DraftProposer } from "../../decoding/proposers/draft-proposer.ts";
import { LookupProposer } from "../../decoding/proposers/lookup-proposer.ts";
import { FixedPlanner, type Planner } from "../../decoding/planners/planner.ts";
import { PredictedProposer } from "../../decoding/proposers/predicted-proposer.ts";
import { MaskProposer, MedusaProposer, type Proposer, type ProposerKind } from "../../decoding/proposers/proposer.ts";
import { MAX_ROUND_ROWS } from "../limits.ts";
import type { CheckedRequest } from "../request/request.ts";

/** What the texts of a model are decoded with. */
export interface DecodingParts {
  readonly model: LoadedModel;
  /** A second model that drafts. */
  readonly draft: DraftModel | undefined;
  /** Knows what steps of the model cost and what its proposals are worth. */
  readonly controller: Controller;
  readonly endTokens: ReadonlySet<number>;
}

/** The decoder of a request. */
export function createDecoder(
  parts: DecodingParts,
  request: CheckedRequest,
  onToken: (drawn: Drawn) => boolean,
): Decoder {
  const { model, endTokens } = parts;
  const { ids, rounds, settings, maxTokens } = request;
  const sampler = model.createSampler(settings);
  sampler.prompt(Int32Array.from(ids));
  return new Decoder({
    prompt: ids,
    sampler,
    proposers: rounds.sources.map((kind) => proposerOf(kind, parts, request)),
    planner: plannerOf(parts.controller, rounds),
    verification: rounds.verification,
    maxTokens,
    maxRun: rounds.maxRun,
    maxRows: MAX_ROUND_ROWS,
    endTokens,
    onToken,
  });
}

function proposerOf(kind: ProposerKind, { draft, endTokens }: DecodingParts, request: CheckedRequest): Proposer {
  switch (kind) {
    case "mask":
      return new MaskProposer();
    case "lookup":
      return new LookupProposer();
    case "predicted":
      return new PredictedProposer(request.predicted);
    case "draft": {
      if (draft === undefined) throw new Error("a draft without a model for it");
      const proposeFor = request.rounds.verification.mode === "exact" ? "exact" : "rejection";
      return new DraftProposer(draft, { settings: request.settings, proposeFor, endTokens });
    }
    case "medusa":
      return new MedusaProposer();
  }
}

function plannerOf(controller: Controller, { shape, stride, verification }: CheckedRequest["rounds"]): Planner {
  return shape === "plain" ? new FixedPlanner("chain", 1) : controller.planner({ shape, stride, verification });
}
