import type { Proposed } from "../../compute/sampling/proposal.ts";
import type { GrammarState } from "../../grammar/grammar-state.ts";
import type { RoundShape } from "../planners/planner.ts";
import { noCandidates, type Proposer } from "../proposers/proposer.ts";
import { PENDING, type Proposal } from "./round.ts";

/** Where a sequence's output is in its grammar. */
export class SequenceGrammar {
  #state: GrammarState;

  /** `start`: the state before the first token of the output. */
  constructor(start: GrammarState) {
    this.#state = start;
  }

  /** The state after the verified tokens. */
  get state(): GrammarState {
    return this.#state;
  }

  /** Appends a verified token. */
  accept(token: number): void {
    const next = this.#state.after(token);
    if (next === undefined) throw new Error(`the grammar does not allow the drawn token ${token}`);
    this.#state = next;
  }

  /** The state after unverified tokens; undefined: they are not allowed. */
  after(path: readonly number[]): GrammarState | undefined {
    let state: GrammarState | undefined = this.#state;
    for (const token of path) state = state?.after(token);
    return state;
  }

  /**
   * The shape without proposals that are not allowed, and the tokens that are allowed at each anchor, [PENDING + 1 …,
   * proposals…].
   */
  limit({ proposals, maskRuns }: RoundShape): RoundShape & { readonly allowed: readonly Uint32Array[] } {
    const states: (GrammarState | undefined)[] = [];
    const kept = new Map<number, number>([[PENDING, PENDING]]);
    const limited: Proposal[] = [];
    const runs = [maskRuns[0] ?? 0];
    const allowed = [this.#state.allowed];
    for (const [i, proposal] of proposals.entries()) {
      const parent = proposal.parent === PENDING ? this.#state : states[proposal.parent];
      const state = parent?.after(proposal.token);
      states.push(state);
      if (state === undefined) continue;
      kept.set(i, limited.push({ ...proposal, parent: kept.get(proposal.parent) ?? PENDING }) - 1);
      runs.push(maskRuns[i + 1] ?? 0);
      allowed.push(state.allowed);
    }
    return { proposals: limited, maskRuns: runs, allowed };
  }
}

/**
 * A proposer whose candidates are allowed by the grammar. The model and draft models draw from allowed tokens only;
 * what others know is filtered, which is right with any verification since they propose with probability 1.
 */
export function withinGrammar(proposer: Proposer, grammar: SequenceGrammar): Proposer {
  const { prepare, prefill, follow, dispose } = proposer;
  return {
    kind: proposer.kind,
    get needsPrefill() {
      return proposer.needsPrefill ?? false;
    },
    observe: (tokens) => proposer.observe(tokens),
    ...(prefill === undefined ? {} : { prefill: (budget, signal) => prefill.call(proposer, budget, signal) }),
    ...(prepare === undefined
      ? {}
      : { prepare: (depth, width, signal) => prepare.call(proposer, depth, width, signal) }),
    ...(follow === undefined ? {} : { follow: (runs) => follow.call(proposer, runs) }),
    ...(dispose === undefined ? {} : { dispose: () => dispose.call(proposer) }),
    candidates: (path, count) => {
      const state = grammar.after(path);
      if (state === undefined) return noCandidates;
      const found = proposer.candidates(path, count);
      return "source" in found ? { ...found, allowed: state.allowed } : allowedOf(found, state);
    },
  };
}

function allowedOf(proposed: Proposed, state: GrammarState): Proposed {
  const { tokens, confidences } = proposed;
  const kept = Array.from(tokens.keys()).filter((i) => state.after(tokens[i] as number) !== undefined);
  if (kept.length === tokens.length) return proposed;
  return {
    ...proposed,
    tokens: Int32Array.from(kept, (i) => tokens[i] as number),
    confidences: Float32Array.from(kept, (i) => confidences[i] as number),
  };
}
