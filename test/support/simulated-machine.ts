import type { StepObservation } from "../../src/decoding/controller/cost-model.ts";
import type { PlanContext, Planner, RoundShape } from "../../src/decoding/planners/planner.ts";
import { type AnchorRun, MaskProposer, noCandidates, type Proposer } from "../../src/decoding/proposers/proposer.ts";
import { PENDING, type Proposal, proposalDepths } from "../../src/decoding/round/round.ts";
import { resultOf } from "./proposing.ts";

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

/** Acceptance of proposals for a text. */
export interface SimulatedText {
  /** Acceptance of a MASK row's best candidate by depth; its confidence scatters around it. */
  readonly mask: readonly number[];
  /** Share of the text that repeats earlier parts, in spans of about 20 tokens. */
  readonly repeats: number;
}

/** Milliseconds of a step without noise. */
export type SimulatedCost = (work: Omit<StepObservation, "ms" | "tokens">) => number;

export interface Simulation {
  readonly sequences: number;
  /** Mean number of tokens per sequence. */
  readonly nTokens: number;
  /** The text by the number of generated tokens (of a sequence; for the cost, their mean). */
  readonly textAt: (written: number) => SimulatedText;
  readonly costAt: (written: number) => SimulatedCost;
  readonly sources: readonly ("mask" | "lookup")[];
  readonly seed: number;
  readonly clock?: SimulatedClock;
}

/** Relative noise of a step's time, and how often and how much longer a step takes for external reasons. */
const NOISE = 0.05;
const SLOW_EVERY = 100;
const SLOW = 6;
/** Milliseconds of a call of a proposer. */
const ANSWER_MS = 0.012;
/** Tokens of each sequence, and steps, that are excluded as the start. */
const START = 60;
const START_STEPS = 40;

export interface Simulated {
  /** Milliseconds after the start. */
  readonly ms: number;
  readonly tokens: number;
  readonly tokensPerForward: number;
}

/** Simulated time between steps, spent in proposers. */
export class SimulatedClock {
  ms = 0;
}

/** Runs planners on simulated texts and a simulated machine, without real time. */
export function simulate(
  { sequences, nTokens, textAt, costAt, sources, seed, clock = new SimulatedClock() }: Simulation,
  plannerOf: () => Planner,
  observe: (step: StepObservation) => void,
  observeProposing: (ms: number) => void = () => {},
): Simulated {
  const random = randomFrom(seed);
  const running = Array.from({ length: sequences }, (_, i) => {
    return new SimulatedSequence(plannerOf(), sources, textAt, nTokens, seed * 1000 + i, clock);
  });
  let ms = 0;
  let tokens = 0;
  let rounds = 0;
  let total = 0;
  let steps = 0;
  // Sequences end together, so that the batch keeps its size.
  while (total < nTokens * sequences) {
    const written = total / sequences;
    const work = { tokenRows: 0, drawnRows: 0, maskRows: 0, contextRows: 0, draftedTokens: 0, sequences };
    let drawn = 0;
    const startMs = clock.ms;
    // All plan before any shape is read.
    for (const sequence of running) sequence.plan();
    observeProposing(clock.ms - startMs);
    for (const sequence of running) {
      const { proposals, maskRuns } = sequence.shape;
      const nMasks = maskRuns.reduce((sum, length) => sum + length, 0);
      work.tokenRows += 1 + proposals.length;
      work.drawnRows += 1 + proposals.length;
      work.maskRows += nMasks;
      work.contextRows += (1 + proposals.length + nMasks) * sequence.written;
      drawn += sequence.verify();
    }
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    const slow = random() < 1 / SLOW_EVERY ? SLOW : 1;
    const took = costAt(written)(work) * Math.exp(NOISE * normal) * slow;
    const askedMs = clock.ms - startMs;
    observe({ ...work, tokens: drawn, ms: took + askedMs });
    total += drawn;
    steps++;
    if (written < START || steps <= START_STEPS) continue;
    // Without noise, which would hide the effect of the choice.
    ms += costAt(written)(work) + askedMs;
    tokens += drawn;
    rounds += sequences;
  }
  return { ms, tokens, tokensPerForward: tokens / rounds };
}

/** A proposer whose calls take simulated time. */
function timed(proposer: Proposer, clock: SimulatedClock): Proposer {
  const { kind } = proposer;
  const candidates: Proposer["candidates"] = (path, count) => {
    const proposed = proposer.candidates(path, count);
    // A call without MASK rows takes no time.
    if (kind === "lookup" || ("tokens" in proposed && proposed.tokens.length > 0)) clock.ms += ANSWER_MS;
    return proposed;
  };
  return {
    kind,
    get isPromising() {
      return proposer.isPromising ?? true;
    },
    observe: () => {},
    candidates,
  };
}

/** A sequence whose tokens are numbered by position; wrong tokens are negative. */
class SimulatedSequence {
  written = 0;
  readonly #planner: Planner;
  readonly #proposers: readonly Proposer[];
  readonly #mask: MaskProposer | undefined;
  readonly #textAt: (written: number) => SimulatedText;
  readonly #random: () => number;
  readonly #isRepeat: boolean[] = [];
  shape: RoundShape = { proposals: [], maskRuns: [] };

  constructor(
    planner: Planner,
    sources: readonly ("mask" | "lookup")[],
    textAt: (written: number) => SimulatedText,
    nTokens: number,
    seed: number,
    clock: SimulatedClock,
  ) {
    this.#planner = planner;
    this.#textAt = textAt;
    this.#random = randomFrom(seed);
    this.#mask = sources.includes("mask") ? new MaskProposer() : undefined;
    this.#proposers = [
      ...(this.#mask === undefined ? [] : [this.#mask]),
      ...(sources.includes("lookup") ? [this.#lookup()] : []),
    ].map((proposer) => timed(proposer, clock));
    const spans = randomFrom(seed + 7);
    let isRepeat = false;
    for (let i = 0; i < 10 * nTokens; i++) {
      const share = textAt(i).repeats;
      if (spans() < 1 / 20) isRepeat = spans() < share;
      this.#isRepeat.push(isRepeat && share > 0);
    }
  }

  plan(): void {
    const context: PlanContext = {
      proposers: this.#proposers,
      remaining: 1000,
      ...{ maxRows: 64, maxRun: this.#mask === undefined ? 0 : 3, position: this.written },
    };
    this.shape = resultOf(this.#planner.plan(context));
  }

  /** Accepted tokens, and one more. */
  verify(): number {
    const { proposals, maskRuns } = this.shape;
    const path: number[] = [];
    for (let anchor = PENDING; ; path.push(anchor)) {
      const truth = this.written + path.length;
      anchor = proposals.findIndex(({ parent, token }: Proposal) => parent === anchor && token === truth);
      if (anchor < 0) break;
    }
    const drawn = Array.from({ length: path.length + 1 }, (_, i) => this.written + i);
    this.#planner.learn?.(this.shape, path, drawn);
    const run = maskRuns[(path.at(-1) ?? PENDING) + 1] ?? 0;
    if (proposalDepths(proposals).length !== maskRuns.length - 1) throw new Error("a run length per anchor");
    this.written += drawn.length;
    this.#follow(run);
    return drawn.length;
  }

  #follow(length: number): void {
    if (length === 0) {
      this.#mask?.follow({});
      return;
    }
    const { mask } = this.#textAt(this.written);
    const at = this.written;
    // The proposals of MASK rows are determined when the row is computed.
    const said = Array.from({ length }, (_, i) => {
      const mean = mask[i] ?? 0;
      const chance = mean * (0.4 + 0.6 * 2 * this.#random());
      const hit = Math.min(chance, 0.98);
      const u = this.#random();
      const rank = u < hit ? 0 : u < hit + 0.3 * hit * (1 - hit) ? 1 : -1;
      return { hit, rank };
    });
    const run: AnchorRun = {
      length,
      candidates: (path, count) => {
        const { hit, rank } = said[path.length] as { hit: number; rank: number };
        const tokens = Int32Array.from({ length: count }, (_, i) => (i === rank ? at + path.length : -2 - i));
        return { tokens, confidences: Float32Array.from(tokens, (_, i) => hit ** 0.7 / 3 ** i) };
      },
    };
    this.#mask?.follow({ mask: run });
  }

  #lookup(): Proposer {
    const isPromising = () => this.#isRepeat[this.written] === true;
    return {
      kind: "lookup",
      get isPromising() {
        return isPromising();
      },
      observe: () => {},
      candidates: (path) => {
        const at = this.written + path.length;
        // In a repeated span the continuation is found; elsewhere a match is usually misleading.
        const starts = isPromising();
        if (!starts && this.written % 3 !== 0) return noCandidates;
        const isRight = starts && this.#isRepeat[at] === true;
        return { tokens: Int32Array.of(isRight ? at : -9), confidences: Float32Array.of(0.5) };
      },
    };
  }
}
