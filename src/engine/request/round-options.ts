import type { MaskRows } from "../../compute/program/program.ts";
import { MAX_STRIDE, permittedShape, type Shape, shapeNames, shapes } from "../../decoding/planners/shapes.ts";
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
import type { GenerateRequest, Propose, RoundForm, Verify } from "../types.ts";
import { numberIn, oneOf, wholeIn, wrongKey } from "./request-values.ts";

/** Properties of a loaded model that limit its proposals. */
export interface ProposalLimits extends Omit<ProposerResources, "hasPrediction" | "hasGrammar"> {
  readonly adapterPath: string | undefined;
}

/** The values of `shape`. */
export const shapeValues: readonly Shape[] = shapeNames;

/** The values of `verify`. */
export const verifyValues: readonly Verify[] = ["exact", "rejection", "relaxed"];

/** The values of `propose`. */
export const proposeValues: readonly Propose[] = ["none", ...proposerKinds, "auto"];

/** Round options of a request with all defaults filled in. */
export interface RoundOptions {
  readonly propose: Propose;
  /** In order of preference; empty: plain decoding. */
  readonly sources: readonly ProposerKind[];
  readonly shape: RoundForm;
  /** Most tokens per forward. */
  readonly stride: number;
  /** Most MASK rows in a run. */
  readonly maxRun: number;
  readonly verification: Verification;
}

/**
 * Fills in how a request is decoded. In exact mode the planner chooses each round (shape auto) unless a shape or a
 * stride is requested. In the other modes the output depends on the rounds, so auto is a shape that is fixed for the
 * request. @throws IdlmError "usage", "stride-too-long".
 */
export function roundOptions(request: GenerateRequest, limits: ProposalLimits): RoundOptions {
  const verification = verificationOf(request);
  const propose = oneOf("propose", request.propose ?? "auto", proposeValues);
  const sources = sourcesOf(propose, request, limits);
  const requested = wholeIn("stride", request.stride, 1, MAX_STRIDE);
  const requestedShape = request.shape === undefined ? undefined : oneOf("shape", request.shape, shapeValues);
  if (sources.length === 0 || requested === 1) {
    return { propose: "none", sources: [], shape: "plain", stride: 1, maxRun: 0, verification };
  }
  const usesMasks = sources.includes("mask");
  const maxStride = usesMasks ? maskStride(limits.mask) : MAX_STRIDE;
  const onlyMasks = usesMasks && sources.length === 1;
  if (requested !== undefined && usesMasks && requested > maxStride) {
    const { adapterPath = "in use", mask } = limits;
    const hint = phrase`Use ${key("stride")} ${maxStride} or less, or ${key("propose")} lookup (or another proposer without MASK rows): up to ${MAX_STRIDE}.`;
    throw new IdlmError("stride-too-long", {
      ...{ stride: requested, needed: requested - 1, adapter: adapterPath, depths: mask?.nDepths ?? 0, hint },
    });
  }
  const defaultShape = requested === undefined ? "auto" : "chain";
  const shape = permittedShape(requestedShape ?? defaultShape, verification.mode === "exact", usesMasks);
  const { defaultStride } = shapes[shape];
  const stride = requested ?? (onlyMasks ? Math.min(maxStride, defaultStride) : defaultStride);
  const [only] = sources.length === 1 ? sources : [];
  return {
    propose: only ?? propose,
    sources,
    shape,
    stride,
    maxRun: usesMasks ? Math.min(maxStride, stride) - 1 : 0,
    verification,
  };
}

/** An adapter with one embedding per depth limits the stride. */
function maskStride(mask: MaskRows | undefined): number {
  if (mask === undefined || mask.sharedByDepth) return MAX_STRIDE;
  return Math.min(MAX_STRIDE, mask.nDepths + 1);
}

function sourcesOf(
  propose: Propose,
  { predict, grammar }: GenerateRequest,
  limits: ProposalLimits,
): readonly ProposerKind[] {
  const resources = { ...limits, hasPrediction: predict !== undefined, hasGrammar: grammar !== undefined };
  if (propose === "none") return [];
  if (propose === "auto") return proposerKinds.filter((kind) => isAvailable(kind, resources));
  if (!isAvailable(propose, resources)) {
    throw wrongKey("propose", `${propose} needs ${requirementOf(propose)?.what}`, hintFor(propose));
  }
  return [propose];
}

function verificationOf({ verify, tau }: GenerateRequest): Verification {
  const mode = oneOf("verify", verify ?? "exact", verifyValues);
  const requestedTau = numberIn("tau", tau, 0, 1, true);
  if (mode === "relaxed") return { mode, tau: requestedTau ?? DEFAULT_TAU };
  if (requestedTau !== undefined) {
    throw wrongKey(
      "tau",
      `${requestedTau} with ${mode} verification`,
      "Only relaxed verification has a tau: leave it out.",
    );
  }
  return { mode };
}
