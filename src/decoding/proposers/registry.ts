import type { MaskRows } from "../../compute/program/program.ts";
import type { ProposeFor } from "../../compute/sampling/proposal.ts";
import type { SamplerSettings } from "../../compute/sampling/settings.ts";
import { key, type Phrase, phrase } from "../../errors.ts";
import type { DraftModel } from "./draft-model.ts";
import { DraftProposer } from "./draft-proposer.ts";
import { type GrammarParts, GrammarProposer } from "./grammar-proposer.ts";
import { LookupProposer } from "./lookup-proposer.ts";
import { PredictedProposer } from "./predicted-proposer.ts";
import { MaskProposer, MedusaProposer, type Proposer } from "./proposer.ts";

/** Properties of a request and its model that determine the available proposers. */
export interface ProposerResources {
  readonly mask: MaskRows | undefined;
  /** Extra (Medusa) heads of the adapter. */
  readonly nExtraHeads: number;
  readonly hasDraft: boolean;
  readonly hasPrediction: boolean;
  readonly hasGrammar: boolean;
}

/** What the proposers of a sequence are created from. */
export interface ProposerParts {
  /** Present if `hasDraft`. */
  readonly draft: DraftModel | undefined;
  /** Token ids of the predicted output; empty: none. */
  readonly prediction: readonly number[];
  readonly settings: SamplerSettings;
  readonly proposeFor: ProposeFor;
  readonly endTokens: ReadonlySet<number>;
  /** Present if `hasGrammar`. */
  readonly forced?: GrammarParts | undefined;
}

/** Something that a proposer cannot work without. */
interface Requirement {
  /** As in "mask needs an adapter with MASK embeddings". */
  readonly what: string;
  /** The key of the request or of `load` that provides it. */
  readonly key: "adapter" | "draftModel" | "predict" | "grammar";
  readonly isMet: (resources: ProposerResources) => boolean;
}

interface ProposerEntry {
  /** A name for tables and pages. */
  readonly label: string;
  /** Where its proposals come from, as a phrase of Markdown. */
  readonly description: string;
  /** Absent: it is always available. */
  readonly requires?: Requirement;
  readonly create: (parts: ProposerParts) => Proposer;
}

/**
 * All proposers, in order of preference: the first one that has a token for a place of a chain provides it. The values of
 * `propose`, its errors, the options and the tables of the documentation are derived from this table.
 */
export const proposers = {
  grammar: {
    label: "grammar",
    description: "text that the [grammar](grammars.md) of the request forces",
    requires: { what: "a grammar", key: "grammar", isMet: ({ hasGrammar }) => hasGrammar },
    create: ({ forced }) => {
      if (forced === undefined) throw new TypeError("no grammar");
      return new GrammarProposer(forced);
    },
  },
  predicted: {
    label: "predicted output",
    description: "a predicted output, realigned after each divergence",
    requires: { what: "a predicted output", key: "predict", isMet: ({ hasPrediction }) => hasPrediction },
    create: ({ prediction }) => new PredictedProposer(prediction),
  },
  mask: {
    label: "MASK rows",
    description: "MASK rows of an [adapter](adapters.md), re-ranked by its sampler head",
    requires: { what: "an adapter with MASK embeddings", key: "adapter", isMet: ({ mask }) => mask !== undefined },
    create: () => new MaskProposer(),
  },
  medusa: {
    label: "Medusa heads",
    description: "extra heads of an [adapter](adapters.md) on the last hidden state",
    requires: { what: "an adapter with Medusa heads", key: "adapter", isMet: ({ nExtraHeads }) => nExtraHeads > 0 },
    create: () => new MedusaProposer(),
  },
  draft: {
    label: "draft model",
    description: "a smaller model with the same vocabulary",
    requires: { what: "a draft model", key: "draftModel", isMet: ({ hasDraft }) => hasDraft },
    create: ({ draft, forced, ...options }) => {
      if (draft === undefined) throw new TypeError("no draft model");
      return new DraftProposer(draft, { ...options, grammar: forced?.grammar });
    },
  },
  lookup: {
    label: "prompt lookup",
    description:
      "prompt lookup: continuations of earlier occurrences of the last tokens, found with a suffix automaton over prompt and output",
    create: () => new LookupProposer(),
  },
} as const satisfies Readonly<Record<string, ProposerEntry>>;

export type ProposerKind = keyof typeof proposers;

/** In order of preference. */
export const proposerKinds = Object.keys(proposers) as ProposerKind[];

const entries: Readonly<Record<string, ProposerEntry>> = proposers;

/** What a proposer requires; undefined: nothing. */
export function requirementOf(kind: ProposerKind): Requirement | undefined {
  return entries[kind]?.requires;
}

export function isAvailable(kind: ProposerKind, resources: ProposerResources): boolean {
  return requirementOf(kind)?.isMet(resources) ?? true;
}

/** How to provide what a proposer requires. */
export function hintFor(kind: ProposerKind): Phrase {
  const required = requirementOf(kind)?.key;
  if (required === undefined) return phrase``;
  const action =
    required === "predict" || required === "grammar"
      ? phrase`Give ${key(required)}`
      : phrase`Load the model with ${key(required)}`;
  return phrase`${action}, or choose another source of proposals.`;
}
