import type { ForwardResult, KvCache, LoadedModel } from "../../compute/loaded-model.ts";
import type { Drawn } from "../../compute/sampling/draw.ts";
import type { ProposeFor } from "../../compute/sampling/proposal.ts";
import type { Sampler } from "../../compute/sampling/sampler.ts";
import { Acceptance } from "../controller/acceptance.ts";
import type { LookAhead, OpenRound, PlanContext, Planner, RoundShape } from "../planners/planner.ts";
import type { AnchorRun, PrefillBudget, Proposer } from "../proposers/proposer.ts";
import type { Proposing } from "./proposing.ts";
import { RequestHistory } from "./request-history.ts";
import {
  extraRows,
  PENDING,
  type RoundLookahead,
  type RoundPlan,
  type RoundRows,
  type Verification,
  verify,
} from "./round.ts";
import { type SequenceGrammar, withinGrammar } from "./sequence-grammar.ts";

/** A sequence's KV pages, as the decoder needs them. */
export interface SequenceKv {
  readonly cache: KvCache;
  /** Cached positions: verified tokens only. */
  readonly length: number;
  readonly pages: Int32Array | readonly number[];
  /** Appends verified tokens, whose K and V are at the slots from `length` on. */
  commit(tokens: readonly number[]): void;
}

export interface DecoderOptions {
  readonly prompt: readonly number[];
  /** Has the prompt and no output yet. */
  readonly sampler: Sampler;
  readonly proposers: readonly Proposer[];
  readonly planner: Planner;
  readonly verification: Verification;
  /** At least 1; prompt and output must fit into the context. */
  readonly maxTokens: number;
  /** Most MASK rows in a run: the adapter's depths if each has its own embedding; 0: no MASK rows. */
  readonly maxRun: number;
  /** Most rows of a round. */
  readonly maxRows: number;
  /** They end the sequence and are not part of the output. */
  readonly endTokens: ReadonlySet<number>;
  /** Limits the output; before its first token. */
  readonly grammar?: SequenceGrammar | undefined;
  /** Called with each output token, in order; true: the output ends with it (a stop string). */
  readonly onToken?: ((drawn: Drawn) => boolean) | undefined;
}

export type FinishReason = "stop" | "length";

/** Number of rounds with the same rows. */
export interface RoundCount {
  readonly proposals: number;
  readonly maskRows: number;
  readonly rounds: number;
}

/**
 * Decodes one sequence in rounds: each forward verifies the proposals of the previous round and yields the next ones
 * (I-DLM, arXiv 2604.11035, section 4). The decoder plans the rows of a forward and applies the results; the caller
 * runs the forward, for any number of sequences together. With exact verification the tokens are those of plain
 * decoding for any proposers and planner. The cache may be dropped between two rounds: the next plan recomputes it.
 */
export class Decoder {
  /** All verified tokens: prompt and output. */
  readonly tokens: number[];
  readonly nPrompt: number;
  readonly acceptance = new Acceptance();
  /** The proposals of the last round that were accepted, from the first depth on. */
  acceptedPath: readonly number[] = [];
  /** Forwards that drew tokens. */
  forwards = 0;
  /** Drawn tokens, including an end token. */
  nDrawn = 0;
  finishReason: FinishReason | undefined;
  /** The draw of the end token that ended the output, which is no part of it. */
  endDrawn: Drawn | undefined;
  /** Rounds by "proposals+MASK rows". */
  readonly #roundCounts = new Map<string, RoundCount>();
  readonly #options: DecoderOptions;
  #shape: RoundShape & Pick<RoundPlan, "allowed"> = { proposals: [], maskRuns: [] };
  #isChosen = false;
  #planned: RoundShape | OpenRound = { proposals: [], maskRuns: [] };
  #nDrafted = 0;
  /** Look-ahead of proposers that need prefill first. */
  readonly #postponed = new Map<Proposer, LookAhead>();
  /** Proposers that take part in the next round. */
  #ready: readonly Proposer[] = [];
  #latest: ForwardResult | undefined;
  readonly #requests = { mask: new RequestHistory(), head: new RequestHistory() };
  #lookaheads: readonly RoundLookahead[] = [];
  #nHeads = 0;

  constructor(given: DecoderOptions) {
    const { grammar, proposers } = given;
    const options =
      grammar === undefined
        ? given
        : { ...given, proposers: proposers.map((proposer) => withinGrammar(proposer, grammar)) };
    this.#options = options;
    this.tokens = [...options.prompt];
    this.nPrompt = options.prompt.length;
    for (const proposer of options.proposers) proposer.observe(options.prompt);
    for (const proposer of options.proposers) {
      if (proposer.prepare !== undefined)
        this.#postponed.set(proposer, options.planner.lookAhead(proposer, this.#context));
    }
  }

  /** Whether proposers need prefill before they can propose. */
  get needsDraftPrefill(): boolean {
    return this.#toPrefill.length > 0;
  }

  /** Whether the next round has to wait for prefill: without exact verification the output depends on the proposals. */
  get isWaitingForDraft(): boolean {
    return !this.#isExact && this.needsDraftPrefill;
  }

  /** Whether no token can be drawn yet. */
  get isBlocked(): boolean {
    return !this.#isChosen || this.isWaitingForDraft;
  }

  /** Prefills proposers within the budget, once per step. */
  async prefillDraft(budget: PrefillBudget, signal?: AbortSignal): Promise<void> {
    for (const proposer of this.#toPrefill) await proposer.prefill?.(budget, signal);
  }

  /** Lets proposers prepare the next round. Before each `propose`. */
  async prepare(signal?: AbortSignal): Promise<void> {
    const { proposers, planner } = this.#options;
    const context = this.#context;
    const ready: Proposer[] = [];
    for (const proposer of proposers) {
      if (proposer.prepare !== undefined) {
        const ahead = this.#postponed.get(proposer) ?? planner.lookAhead(proposer, context);
        // The round does not wait for its prefill, and goes without it.
        const isSkipped = this.#isExact && ahead.depth > 0 && proposer.needsPrefill === true;
        if (isSkipped) this.#postponed.set(proposer, ahead);
        else this.#postponed.delete(proposer);
        const depth = Math.min(ahead.depth, context.remaining - 1);
        if (isSkipped || depth === 0) continue;
        this.#nDrafted += await proposer.prepare(depth, ahead.width, signal);
      }
      ready.push(proposer);
    }
    this.#ready = ready;
  }

  /** Collects the proposals of the next round: before the first `plan`, and after `applyResults` of each round. */
  *propose(): Proposing<void> {
    this.#planned = yield* this.#options.planner.plan({ ...this.#context, proposers: this.#ready });
    this.#lookaheads = (["mask", "head"] as const)
      .map((kind) => ({ kind, nHeads: this.#nHeads, ...this.#requests[kind].next() }))
      .filter(({ widths }) => widths.length > 0);
  }

  /** Takes the chosen shape of the next round: after `propose`, once the rounds of all sequences are chosen. */
  takeRound(): void {
    const { grammar } = this.#options;
    const shape = "proposals" in this.#planned ? this.#planned : this.#planned.shape;
    if (shape === undefined) throw new Error("the round is not chosen yet");
    this.#shape = grammar === undefined ? shape : grammar.limit(shape);
    this.#isChosen = true;
  }

  /** The forward that verified the last tokens; requests of `propose` refer to its rows. */
  get latestResult(): ForwardResult | undefined {
    return this.#latest;
  }

  /** Tokens drafted since the last call. */
  takeDrafted(): number {
    const n = this.#nDrafted;
    this.#nDrafted = 0;
    return n;
  }

  /** Rounds by their rows, the most frequent first. */
  get roundCounts(): readonly RoundCount[] {
    return [...this.#roundCounts.values()].sort((a, b) => b.rounds - a.rounds);
  }

  /** Rows of the next round without its pending tokens; of the last one, as an estimate, until the next is taken. */
  get nScratchRows(): number {
    const { proposals, maskRows } = extraRows(this.#shape);
    return proposals + maskRows;
  }

  /** The sequence's rows of the next forward: a chunk of at most `maxPending` pending tokens, or the round. */
  plan(kv: SequenceKv, maxPending: number): RoundPlan {
    const { verification, sampler } = this.#options;
    const isChunk = this.tokens.length - kv.length > maxPending;
    const pending = this.tokens.slice(kv.length, isChunk ? kv.length + maxPending : undefined);
    if (isChunk) return { sequence: kv, pending, proposals: [], maskRuns: [], verification };
    return { sequence: kv, pending, ...this.#shape, sampler, verification, lookaheads: this.#lookaheads };
  }

  /**
   * Applies the results of a plan's forward: verifies, commits the accepted tokens and returns the new output. @throws
   * the failure of a draw, if it is the first of the output.
   */
  applyResults(
    model: LoadedModel,
    kv: SequenceKv,
    plan: RoundPlan,
    result: ForwardResult,
    rows: RoundRows,
  ): readonly Drawn[] {
    if (plan.sampler === undefined) {
      kv.commit(plan.pending);
      return [];
    }
    this.#latest = result;
    this.forwards++;
    const { proposals, pending } = plan;
    this.#countRound(plan);
    const verified = verify(proposals, (anchor) => result.drawn[rows.firstDraw + anchor + 1] as Drawn);
    const { output, hasFailed } = this.#append(verified.drawn);
    const nDrawn = output.length + (this.endDrawn === undefined ? 0 : 1);
    // If a draw failed, the last token stays pending: the next round repeats the failing draw and throws.
    const path = verified.path.slice(0, hasFailed ? nDrawn - 1 : nDrawn);
    this.nDrawn += nDrawn;
    this.acceptance.add(proposals, path, nDrawn);
    this.acceptedPath = path;
    const learned = verified.drawn.slice(0, nDrawn).map(({ token }) => token);
    this.#options.planner.learn?.(plan, path, learned);
    moveIntoPlace(model, kv, pending.length, path);
    kv.commit([...pending, ...path.map((proposal) => (proposals[proposal] as { token: number }).token)]);
    const tokens = output.map(({ token }) => token);
    this.tokens.push(...tokens);
    if (this.finishReason === undefined) {
      for (const proposer of this.#options.proposers) proposer.observe(tokens);
      const anchor = path.at(-1) ?? PENDING;
      const mask = this.#maskRun(plan, rows, anchor);
      const row = rows.pendingRow + pending.length + anchor;
      this.#nHeads = model.program.heads.extra.length;
      const head = this.#extraHeads(row, this.#nHeads);
      const runs = mask === undefined ? { head } : { mask, head };
      for (const proposer of this.#options.proposers) proposer.follow?.(runs);
    }
    return output;
  }

  async dispose(): Promise<void> {
    for (const proposer of this.#options.proposers) await proposer.dispose?.();
  }

  #countRound(plan: RoundPlan): void {
    const { proposals, maskRows } = extraRows(plan);
    const key = `${proposals}+${maskRows}`;
    const rounds = (this.#roundCounts.get(key)?.rounds ?? 0) + 1;
    this.#roundCounts.set(key, { proposals, maskRows, rounds });
  }

  /** Context of the next round, with all proposers. */
  get #context(): PlanContext {
    const { proposers, maxRun, maxRows } = this.#options;
    // If the output depends on the rounds, they must not depend on maxTokens: a longer output starts with the same
    // tokens.
    const remaining = this.#isExact ? this.#remaining : maxRows;
    return { proposers, remaining, maxRows, maxRun, position: this.tokens.length - 1 };
  }

  get #isExact(): boolean {
    return this.#options.verification.mode === "exact";
  }

  /** Proposers that need prefill and take part in the next round. */
  get #toPrefill(): Proposer[] {
    const { proposers, planner } = this.#options;
    return proposers.filter((proposer) => {
      if (proposer.needsPrefill !== true) return false;
      const postponed = this.#postponed.get(proposer);
      const ahead = this.#isExact ? postponed : (postponed ?? planner.lookAhead(proposer, this.#context));
      return ahead !== undefined && ahead.depth > 0;
    });
  }

  get #remaining(): number {
    return this.#options.maxTokens - (this.tokens.length - this.nPrompt);
  }

  /** Appends drawn tokens up to the end of the output or a failed draw. */
  #append(drawn: readonly Drawn[]): { readonly output: Drawn[]; readonly hasFailed: boolean } {
    const { endTokens, onToken, sampler, grammar } = this.#options;
    const output: Drawn[] = [];
    const remaining = this.#remaining;
    for (const next of drawn) {
      if (next.failure !== undefined) {
        if (output.length === 0) throw next.failure;
        return { output, hasFailed: true };
      }
      if (endTokens.has(next.token)) {
        this.finishReason = "stop";
        this.endDrawn = next;
        break;
      }
      output.push(next);
      sampler.accept(next.token);
      grammar?.accept(next.token);
      // Without an end token nothing could be drawn.
      const isComplete = endTokens.size === 0 && grammar?.state.isComplete === true;
      if (onToken?.(next) || isComplete) this.finishReason = "stop";
      else if (output.length === remaining) this.finishReason = "length";
      if (this.finishReason !== undefined) break;
    }
    return { output, hasFailed: false };
  }

  /** MASK run of the last accepted anchor. */
  #maskRun({ maskRuns }: RoundPlan, rows: RoundRows, anchor: number): AnchorRun | undefined {
    const length = maskRuns[anchor + 1] ?? 0;
    const first = rows.maskRows[anchor + 1] ?? -1;
    if (length === 0 || first < 0) return undefined;
    const pending = this.tokens.at(-1) as number;
    return {
      length,
      candidates: (path, count) => ({
        source: { kind: "mask", row: first + path.length, previous: path.at(-1) ?? pending },
        ...this.#common("mask", path, count),
      }),
    };
  }

  /** Extra heads of an anchor's row. */
  #extraHeads(row: number, length: number): AnchorRun {
    return {
      length,
      candidates: (path, count) => ({
        source: { kind: "head", row, head: path.length },
        ...this.#common("head", path, count),
      }),
    };
  }

  #common(kind: RoundLookahead["kind"], path: readonly number[], count: number) {
    const { sampler, grammar } = this.#options;
    // A forward cannot propose ahead what the grammar will allow.
    if (grammar === undefined) this.#requests[kind].add(path.length, count);
    return {
      ...{ sampler, position: this.tokens.length + path.length, unverified: path },
      ...{ count, proposeFor: this.#proposeFor },
    };
  }

  get #proposeFor(): ProposeFor {
    return this.#isExact ? "exact" : "rejection";
  }
}

/** Moves the K and V of accepted proposals to consecutive slots after the pending tokens. */
function moveIntoPlace(model: LoadedModel, kv: SequenceKv, nPending: number, path: readonly number[]): void {
  const base = kv.length + nPending;
  const from: number[] = [];
  const to: number[] = [];
  path.forEach((proposal, i) => {
    if (proposal === i) return;
    from.push(base + proposal);
    to.push(base + i);
  });
  if (from.length > 0) model.moveKv(kv.cache, kv.pages, from, to);
}
