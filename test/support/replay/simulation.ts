import { type Conditions, Delays } from "./delays.ts";
import type { StepObservation } from "../../../src/decoding/controller/cost-model.ts";
import type { OpenRound, PlanContext, Planner, RoundShape } from "../../../src/decoding/planners/planner.ts";
import type { Proposer } from "../../../src/decoding/proposers/proposer.ts";
import { PENDING, type Proposal } from "../../../src/decoding/round/round.ts";
import { resultOf } from "../proposing.ts";

/** Numbers in [0, 1) from a seed. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The text of a sequence, which is known in advance, and its proposers. */
export interface SimulatedText {
  /** Tokens of its output; the pending token is the one before the first. */
  readonly nTokens: number;
  readonly nPrompt: number;
  readonly proposers: readonly Proposer[];
  /** Longest MASK run; 0: no MASK rows. */
  readonly maxRun: number;
  tokenAt(index: number): number;
  /** Tells the proposers that the tokens up to `written` are verified, with a MASK run of this length at the last anchor. */
  follow(written: number, runLength: number): void;
}

export type StepWork = Omit<StepObservation, "ms" | "tokens">;

/** Milliseconds of a step without noise, and without prompts. */
export type SimulatedCost = (work: StepWork) => number;

export interface Simulation {
  /** Those that run at a time. */
  readonly slots: number;
  readonly texts: Iterator<SimulatedText>;
  /** By the mean number of tokens of a slot so far. */
  readonly costAt: (written: number) => SimulatedCost;
  readonly seed: number;
  /** Default: usual. */
  readonly conditions?: Conditions;
  /** Whether the simulation goes on. It also ends when a slot stays empty. */
  readonly goesOn: (progress: Progress) => boolean;
  /** Whether a step counts. */
  readonly counts: (progress: Progress) => boolean;
  /** Advanced by proposers. */
  readonly clock: SimulatedClock;
}

export interface Progress {
  readonly steps: number;
  /** Tokens of all sequences so far. */
  readonly tokens: number;
  /** Texts started so far. */
  readonly texts: number;
}

/** What chooses rounds. */
export interface Deciding {
  planner(): Planner;
  chooseRounds(): void;
  observeProposing(ms: number): void;
  observeStep(step: StepObservation): void;
}

/** The same planner for each sequence. */
export function fixedRounds(planner: () => Planner): Deciding {
  return { planner, chooseRounds: () => {}, observeProposing: () => {}, observeStep: () => {} };
}

export interface Simulated {
  /** Milliseconds of the steps that count. */
  readonly ms: number;
  readonly tokens: number;
  readonly tokensPerForward: number;
}

/** Milliseconds of planning a round with proposals: the first of a step, and each other one. As measured, see docs/results.md. */
const FIRST_ROUND_MS = 0.05;
const OTHER_ROUND_MS = 0.02;

/** Simulated time spent on proposing. */
export class SimulatedClock {
  ms = 0;
  #isFirst = true;

  beginStep(): void {
    this.#isFirst = true;
  }

  /** A round is planned with proposals. */
  addRound(): void {
    this.ms += this.#isFirst ? FIRST_ROUND_MS : OTHER_ROUND_MS;
    this.#isFirst = false;
  }
}

/** Lets texts be generated on a simulated machine, without real time. */
export function simulate(
  { slots, texts, costAt, seed, conditions = "usual", goesOn, counts, clock }: Simulation,
  deciding: Deciding,
): Simulated {
  const delays = new Delays(conditions, randomFrom(seed));
  const progress = { steps: 0, tokens: 0, texts: 0 };
  const running: SimulatedSequence[] = [];
  let countedMs = 0;
  let tokens = 0;
  let rounds = 0;
  while (goesOn(progress)) {
    while (running.length < slots) {
      const next = texts.next();
      if (next.done) return { ms: countedMs, tokens, tokensPerForward: tokens / rounds };
      progress.texts++;
      running.push(new SimulatedSequence(deciding.planner(), next.value));
    }
    const work = { tokenRows: 0, drawnRows: 0, maskRows: 0, contextRows: 0, draftedTokens: 0, sequences: slots };
    const startMs = clock.ms;
    clock.beginStep();
    for (const sequence of running) sequence.plan();
    deciding.observeProposing(clock.ms - startMs);
    deciding.chooseRounds();
    let drawn = 0;
    for (const sequence of running) {
      const { proposals, maskRuns } = sequence.shape;
      const nMasks = maskRuns.reduce((sum, length) => sum + length, 0);
      work.tokenRows += sequence.promptRows + 1 + proposals.length;
      work.drawnRows += 1 + proposals.length;
      work.maskRows += nMasks;
      work.contextRows += (1 + proposals.length + nMasks) * sequence.position;
      drawn += sequence.verify();
    }
    const costOf = costAt(progress.tokens / slots);
    const cost = costOf(work);
    const proposingMs = clock.ms - startMs;
    // A prompt's rows take as long as proposals.
    const ms = delays.measure(work, costOf({ ...work, drawnRows: work.tokenRows })) + proposingMs;
    deciding.observeStep({ ...work, tokens: drawn, ms });
    // Without delays and prompts, which would hide the effect of the choice.
    if (counts(progress)) {
      countedMs += cost + proposingMs;
      tokens += drawn;
      rounds += slots;
    }
    progress.tokens += drawn;
    progress.steps++;
    for (let i = running.length - 1; i >= 0; i--) if (running[i]?.isDone) running.splice(i, 1);
  }
  return { ms: countedMs, tokens, tokensPerForward: tokens / rounds };
}

class SimulatedSequence {
  readonly #planner: Planner;
  readonly #text: SimulatedText;
  #written = 0;
  #planned: RoundShape | OpenRound = { proposals: [], maskRuns: [] };

  constructor(planner: Planner, text: SimulatedText) {
    this.#planner = planner;
    this.#text = text;
  }

  get isDone(): boolean {
    return this.#written >= this.#text.nTokens;
  }

  get position(): number {
    return this.#text.nPrompt + this.#written;
  }

  /** Rows of the prompt in the first step; the last one of its tokens is pending. */
  get promptRows(): number {
    return this.#written === 0 ? Math.max(0, this.#text.nPrompt - 1) : 0;
  }

  plan(): void {
    const { proposers, maxRun, nTokens } = this.#text;
    const remaining = Math.min(1000, nTokens - this.#written);
    const context: PlanContext = { proposers, remaining, maxRows: 64, maxRun, position: this.position };
    this.#planned = resultOf(this.#planner.plan(context));
  }

  get shape(): RoundShape {
    const shape = "proposals" in this.#planned ? this.#planned : this.#planned.shape;
    if (shape === undefined) throw new Error("a round that was not chosen");
    return shape;
  }

  /** Accepted tokens, and one more. */
  verify(): number {
    const { shape } = this;
    const path: number[] = [];
    for (let anchor = PENDING; ; path.push(anchor)) {
      const truth = this.#text.tokenAt(this.#written + path.length);
      anchor = shape.proposals.findIndex(({ parent, token }: Proposal) => parent === anchor && token === truth);
      if (anchor < 0) break;
    }
    if (shape.proposals.length !== shape.maskRuns.length - 1) throw new Error("a run length per anchor");
    const drawn = Array.from({ length: path.length + 1 }, (_, i) => this.#text.tokenAt(this.#written + i));
    this.#planner.learn?.(shape, path, drawn);
    this.#written += drawn.length;
    this.#text.follow(this.#written, shape.maskRuns[(path.at(-1) ?? PENDING) + 1] ?? 0);
    return drawn.length;
  }
}

/** A proposer whose calls take simulated time, which have no answer at once only if it needs MASK rows. */
export function timed(proposer: Proposer, clock: SimulatedClock, callMs: number): Proposer {
  const { kind } = proposer;
  return {
    kind,
    observe: () => {},
    candidates: (path, count) => {
      const proposed = proposer.candidates(path, count);
      // A call without MASK rows takes no time.
      if (kind !== "mask" || ("tokens" in proposed && proposed.tokens.length > 0)) clock.ms += callMs;
      return proposed;
    },
  };
}
