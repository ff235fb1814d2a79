import type { MaskRows } from "../../compute/program/program.ts";
import { MAX_STRIDE, permittedShape, shapeNames, shapes } from "../../decoding/planners/shapes.ts";
import {
  hintFor,
  isAvailable,
  type ProposerKind,
  type ProposerResources,
  proposerKinds,
  requirementOf,
} from "../../decoding/proposers/registry.ts";
import type { Verification } from "../../decoding/round/round.ts";
import { IdlmError, key, phrase } from "../../errors.ts";
import { DEFAULT_TAU } from "../limits.ts";
import type { GenerateRequest, Propose, RoundForm } from "../types.ts";
import { numberIn, oneOf, wholeIn, wrongKey } from "./request-values.ts";

/** What of a loaded model decides where proposals can come from. */
export interface ProposalLimits extends Omit<ProposerResources, "hasPrediction"> {
  readonly adapterPath: string | undefined;
}

/** The values of `propose`. */
export const proposeValues: readonly Propose[] = ["none", ...proposerKinds, "auto"];

/** A request's rounds, with every default filled in. */
export interface RoundOptions {
  readonly propose: Propose;
  /** In order of preference; empty: plain decoding. */
  readonly sources: readonly ProposerKind[];
  readonly shape: RoundForm;
  /** Tokens that a forward yields at best. */
  readonly stride: number;
  /** Most MASK rows in a run. */
  readonly maxRun: number;
  readonly verification: Verification;
}

/**
 * Fills in how a request is decoded. In exact mode the rounds change while it runs (shape auto) unless a shape or a stride
 * is asked for. In the other modes the text depends on the rounds: there auto means a shape that is fixed for the request.
 * @throws IdlmError "usage", "stride-too-long".
 */
export function roundOptions(request: GenerateRequest, limits: ProposalLimits): RoundOptions {
  const verification = verificationOf(request);
  const propose = oneOf("propose", request.propose ?? "auto", proposeValues);
  const sources = sourcesOf(propose, request, limits);
  const wanted = wholeIn("stride", request.stride, 1, MAX_STRIDE);
  const asked = request.shape === undefined ? undefined : oneOf("shape", request.shape, shapeNames);
  if (sources.length === 0 || wanted === 1) {
    return { propose: "none", sources: [], shape: "plain", stride: 1, maxRun: 0, verification };
  }
  const usesMasks = sources.includes("mask");
  const most = usesMasks ? maskStride(limits.mask) : MAX_STRIDE;
  const onlyMasks = usesMasks && sources.length === 1;
  if (wanted !== undefined && usesMasks && wanted > most) {
    const { adapterPath = "in use", mask } = limits;
    const hint = phrase`Use ${key("stride")} ${most} or less, or ${key("propose")} lookup (or whatever else has no MASK rows): up to ${MAX_STRIDE}.`;
    throw new IdlmError("stride-too-long", {
      ...{ stride: wanted, needed: wanted - 1, adapter: adapterPath, depths: mask?.nDepths ?? 0, hint },
    });
  }
  const byDefault = wanted === undefined ? "auto" : "chain";
  const shape = permittedShape(asked ?? byDefault, verification.mode === "exact", usesMasks);
  const { defaultStride } = shapes[shape];
  const stride = wanted ?? (onlyMasks ? Math.min(most, defaultStride) : defaultStride);
  const [only] = sources.length === 1 ? sources : [];
  return {
    propose: only ?? propose,
    sources,
    shape,
    stride,
    maxRun: usesMasks ? Math.min(most, stride) - 1 : 0,
    verification,
  };
}

/** A MASK row at a depth of its own needs an embedding of its own. */
function maskStride(mask: MaskRows | undefined): number {
  if (mask === undefined || mask.sharedByDepth) return MAX_STRIDE;
  return Math.min(MAX_STRIDE, mask.nDepths + 1);
}

function sourcesOf(propose: Propose, { predict }: GenerateRequest, limits: ProposalLimits): readonly ProposerKind[] {
  const resources = { ...limits, hasPrediction: predict !== undefined };
  if (propose === "none") return [];
  if (propose === "auto") return proposerKinds.filter((kind) => isAvailable(kind, resources));
  if (!isAvailable(propose, resources)) {
    throw wrongKey("propose", `${propose} needs ${requirementOf(propose)?.what}`, hintFor(propose));
  }
  return [propose];
}

function verificationOf({ verify, tau }: GenerateRequest): Verification {
  const mode = oneOf("verify", verify ?? "exact", ["exact", "rejection", "relaxed"] as const);
  const given = numberIn("tau", tau, 0, 1, true);
  if (mode === "relaxed") return { mode, tau: given ?? DEFAULT_TAU };
  if (given !== undefined) {
    throw wrongKey("tau", `${given} with ${mode} verification`, "Only relaxed verification has a tau: leave it out.");
  }
  return { mode };
}
