import type { Drawn } from "../../compute/sampling/draw.ts";
import { extraRows, proposalDepths, type RoundPlan } from "../../decoding/round/round.ts";
import type { RoundRecord, TextStream, TextTokenizer } from "../types.ts";

/** Milliseconds and probabilities have four digits after the point. */
const STEPS = 10_000;

/** Makes the records of a sequence's rounds. */
export class RoundRecorder {
  readonly #tokenizer: TextTokenizer | undefined;
  readonly #stream: TextStream | undefined;
  #lastMs: number;

  constructor(tokenizer: TextTokenizer | undefined, startMs: number) {
    this.#tokenizer = tokenizer;
    this.#stream = tokenizer?.stream();
    this.#lastMs = startMs;
  }

  /** `path`: the accepted proposals. `drawn`: the output. */
  record(plan: RoundPlan, path: readonly number[], drawn: readonly Drawn[], forward: number): RoundRecord {
    const { pending, proposals } = plan;
    const nowMs = performance.now();
    const ms = rounded(nowMs - this.#lastMs);
    this.#lastMs = nowMs;
    const depths = proposalDepths(proposals);
    const accepted = new Set(path);
    return {
      ...{ forward, ms, rows: pending.length + proposals.length + extraRows(plan).maskRows },
      proposals: proposals.map(({ token, parent, source, confidence }, i) => ({
        ...{ id: token, text: this.#tokenizer?.decode([token]) ?? "", parent, depth: depths[i] as number, source },
        ...{ probability: rounded(confidence), accepted: accepted.has(i) },
      })),
      tokens: drawn.map(({ token }, i) => {
        const proposal = proposals[path[i] ?? -1];
        const origin =
          proposal === undefined ? { source: "drawn", depth: 0 } : { source: proposal.source, depth: i + 1 };
        return { id: token, text: this.#stream?.push(token) ?? "", ...origin };
      }),
    };
  }
}

function rounded(value: number): number {
  return Math.round(value * STEPS) / STEPS;
}
