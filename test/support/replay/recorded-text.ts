import { LookupProposer } from "../../../src/decoding/proposers/lookup-proposer.ts";
import { PredictedProposer } from "../../../src/decoding/proposers/predicted-proposer.ts";
import { type AnchorRun, MaskProposer, noCandidates, type Proposer } from "../../../src/decoding/proposers/proposer.ts";
import { type SimulatedClock, type SimulatedText, timed } from "./simulation.ts";
import type { MaskNode, RecordedGeneration } from "./trace.ts";

export type RecordedSource = "mask" | "lookup" | "predicted";

/** Milliseconds of a call of a proposer. As measured: docs/results.md, "What a round costs". */
const CALL_MS = 0.015;

/** A recorded generation. The first of its tokens is pending at the start. */
export class RecordedText implements SimulatedText {
  readonly nTokens: number;
  readonly nPrompt: number;
  readonly maxRun: number;
  readonly proposers: readonly Proposer[];
  readonly #generation: RecordedGeneration;
  readonly #mask = new MaskProposer();
  /** Proposers that read the tokens. */
  readonly #readers: Proposer[] = [];
  #written = 0;

  constructor(
    generation: RecordedGeneration,
    { sources, maxRun, clock }: { sources: readonly RecordedSource[]; maxRun: number; clock: SimulatedClock },
  ) {
    this.#generation = generation;
    const { prompt, output, predicted } = generation;
    this.nTokens = output.length;
    this.nPrompt = prompt.length;
    const hasMasks = sources.includes("mask");
    this.maxRun = hasMasks ? maxRun : 0;
    if (sources.includes("predicted") && predicted.length > 0) this.#readers.push(new PredictedProposer(predicted));
    if (sources.includes("lookup")) this.#readers.push(new LookupProposer());
    for (const reader of this.#readers) reader.observe(prompt);
    const [predictor, lookup] = [
      this.#readers.filter(({ kind }) => kind === "predicted"),
      this.#readers.filter(({ kind }) => kind === "lookup"),
    ];
    let planned = -1;
    this.proposers = [...predictor, ...(hasMasks ? [this.#mask] : []), ...lookup].map((proposer) => {
      const own = timed(proposer, clock, CALL_MS);
      return {
        ...{ kind: own.kind, observe: own.observe },
        candidates: (path, count) => {
          if (planned < this.#written) clock.addRound();
          planned = this.#written;
          return own.candidates(path, count);
        },
      };
    });
  }

  tokenAt(index: number): number {
    return this.#generation.output[index] ?? -1;
  }

  follow(written: number, runLength: number): void {
    const { output, masks } = this.#generation;
    const verified = output.slice(this.#written, written);
    for (const reader of this.#readers) reader.observe(verified);
    this.#written = written;
    // The last verified token is pending now.
    const root = masks[written - 1];
    this.#mask.follow(root === undefined || runLength === 0 ? {} : { mask: runOf(root, runLength, output, written) });
  }
}

function runOf(root: MaskNode, length: number, output: readonly number[], written: number): AnchorRun {
  return {
    length,
    candidates: (path, count) => {
      let node: MaskNode | undefined = root;
      for (const [i, token] of path.entries()) {
        const { tokens, next }: MaskNode = node;
        const at = tokens.indexOf(token);
        const isText = path.slice(0, i + 1).every((one, j) => one === output[written + j]);
        // Below other tokens than the recorded ones: the row is the same, its re-ranking is not known.
        node = next[at >= 0 ? at : isText ? tokens.length : 0] ?? next[0];
        if (node === undefined) return noCandidates;
      }
      return {
        tokens: Int32Array.from(node.tokens.slice(0, count)),
        confidences: Float32Array.from(node.confidences.slice(0, count)),
      };
    },
  };
}
