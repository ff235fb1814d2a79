import type { MaskRows } from "../../compute/program/program.ts";
import type { ProposerKind } from "../../decoding/proposers/proposer.ts";
import type { Verification } from "../../decoding/round/round.ts";
import { IdlmError, key, type Phrase, phrase } from "../../errors.ts";
import { DEFAULT_TAU } from "../limits.ts";
import type { GenerateRequest, Propose, RoundForm } from "../types.ts";
import { numberIn, oneOf, wholeIn, wrongKey } from "./request-values.ts";

const MAX_STRIDE = 8;
/** Where nobody asks for a stride. Beyond it a proposal by lookup seldom stands. */
const DEFAULT_STRIDE = 4;
/**
 * One proposal, and a MASK run off every anchor so that no round starts cold. Of the fixed rounds this one was fastest with
 * the catalogue's adapter (docs/results.md).
 */
const DEFAULT_QUADRATIC_STRIDE = 2;

/** What of a loaded model decides about where proposals can come from. */
export interface ProposalLimits {
  readonly mask: MaskRows | undefined;
  readonly adapterPath: string | undefined;
  /** Whether the adapter has Medusa heads. */
  readonly hasMedusa: boolean;
  /** Whether a draft model is loaded. */
  readonly hasDraft: boolean;
}

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
  const propose = oneOf("propose", request.propose ?? "auto", ["none", ...kinds, "auto"] as const);
  const sources = sourcesOf(propose, request, limits);
  const wanted = wholeIn("stride", request.stride, 1, MAX_STRIDE);
  const asked = request.shape === undefined ? undefined : oneOf("shape", request.shape, forms);
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
  const shape = fixedWhereNeeded(asked ?? byDefault, verification, usesMasks);
  const fallback = shape === "auto" ? MAX_STRIDE : shape === "quadratic" ? DEFAULT_QUADRATIC_STRIDE : DEFAULT_STRIDE;
  const stride = wanted ?? (onlyMasks ? Math.min(most, fallback) : fallback);
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

const kinds = ["mask", "lookup", "predicted", "draft", "medusa"] as const satisfies readonly ProposerKind[];
const forms = ["chain", "quadratic", "tree", "auto"] as const;

function fixedWhereNeeded(shape: (typeof forms)[number], { mode }: Verification, usesMasks: boolean): RoundForm {
  if (shape !== "auto" || mode === "exact") return shape;
  return usesMasks ? "quadratic" : "chain";
}

/** A MASK row at a depth of its own needs an embedding of its own. */
function maskStride(mask: MaskRows | undefined): number {
  if (mask === undefined || mask.sharedByDepth) return MAX_STRIDE;
  return Math.min(MAX_STRIDE, mask.nDepths + 1);
}

function sourcesOf(propose: Propose, { predict }: GenerateRequest, limits: ProposalLimits): readonly ProposerKind[] {
  const isThere: Readonly<Record<ProposerKind, boolean>> = {
    predicted: predict !== undefined,
    mask: limits.mask !== undefined,
    medusa: limits.hasMedusa,
    draft: limits.hasDraft,
    lookup: true,
  };
  if (propose === "none") return [];
  if (propose === "auto") return Object.entries(isThere).flatMap(([kind, is]) => (is ? [kind as ProposerKind] : []));
  if (!isThere[propose]) throw wrongKey("propose", `${propose} ${missing[propose].problem}`, missing[propose].hint);
  return [propose];
}

const missing: Readonly<Record<ProposerKind, { readonly problem: string; readonly hint: string | Phrase }>> = {
  mask: {
    problem: "needs an adapter with MASK embeddings",
    hint: phrase`Load the model with ${key("adapter")}, or propose otherwise.`,
  },
  medusa: {
    problem: "needs an adapter with Medusa heads",
    hint: phrase`Load the model with ${key("adapter")}, or propose otherwise.`,
  },
  draft: {
    problem: "needs a draft model",
    hint: phrase`Load the model with ${key("draftModel")}, or propose otherwise.`,
  },
  predicted: {
    problem: "needs the text that is predicted",
    hint: phrase`Give it as ${key("predict")}, or propose otherwise.`,
  },
  lookup: { problem: "is always there", hint: "" },
};

function verificationOf({ verify, tau }: GenerateRequest): Verification {
  const mode = oneOf("verify", verify ?? "exact", ["exact", "rejection", "relaxed"] as const);
  const given = numberIn("tau", tau, 0, 1, true);
  if (mode === "relaxed") return { mode, tau: given ?? DEFAULT_TAU };
  if (given !== undefined) {
    throw wrongKey("tau", `${given} with ${mode} verification`, "Only relaxed verification has a tau: leave it out.");
  }
  return { mode };
}
