import { type AnchorRun, MaskProposer, noCandidates, type Proposer } from "../../../src/decoding/proposers/proposer.ts";
import { randomFrom, type SimulatedClock, type SimulatedText, timed } from "./simulation.ts";

/** Acceptance of proposals for a kind of text. */
export interface TextKind {
  /** Acceptance of a MASK row's best candidate by depth; its confidence scatters around it. */
  readonly mask: readonly number[];
  /** Share of the text that repeats earlier parts, in spans of about 20 tokens. */
  readonly repeats: number;
}

export interface SyntheticOptions {
  /** The kind by the number of generated tokens. */
  readonly kindAt: (written: number) => TextKind;
  readonly sources: readonly ("mask" | "lookup")[];
  readonly seed: number;
  readonly clock: SimulatedClock;
  /** Tokens of the prompt. Default: 0. */
  readonly nPrompt?: number;
}

/** Milliseconds of a call of a proposer. */
const CALL_MS = 0.012;

/** A text whose tokens are numbered by position; wrong tokens are negative. */
export class SyntheticText implements SimulatedText {
  readonly nTokens = Number.POSITIVE_INFINITY;
  readonly nPrompt: number;
  readonly maxRun: number;
  readonly proposers: readonly Proposer[];
  readonly #mask: MaskProposer | undefined;
  readonly #kindAt: (written: number) => TextKind;
  readonly #random: () => number;
  readonly #spans: () => number;
  readonly #repeats: boolean[] = [];
  #written = 0;

  constructor({ kindAt, sources, seed, clock, nPrompt = 0 }: SyntheticOptions) {
    this.nPrompt = nPrompt;
    this.#kindAt = kindAt;
    this.#random = randomFrom(seed);
    this.#mask = sources.includes("mask") ? new MaskProposer() : undefined;
    this.maxRun = this.#mask === undefined ? 0 : 3;
    const lookup = sources.includes("lookup") ? [this.#lookup()] : [];
    const mask = this.#mask === undefined ? [] : [this.#mask];
    this.proposers = [...mask, ...lookup].map((proposer) => timed(proposer, clock, CALL_MS));
    this.#spans = randomFrom(seed + 7);
  }

  tokenAt(index: number): number {
    return index;
  }

  follow(written: number, length: number): void {
    this.#written = written;
    if (length === 0) {
      this.#mask?.follow({});
      return;
    }
    const { mask } = this.#kindAt(written);
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
        const tokens = Int32Array.from({ length: count }, (_, i) => (i === rank ? written + path.length : -2 - i));
        return { tokens, confidences: Float32Array.from(tokens, (_, i) => hit ** 0.7 / 3 ** i) };
      },
    };
    this.#mask?.follow({ mask: run });
  }

  /** Whether the token at this place repeats earlier text. */
  #isRepeat(index: number): boolean {
    for (let i = this.#repeats.length; i <= index; i++) {
      const share = this.#kindAt(i).repeats;
      const isRepeat = this.#spans() < 1 / 20 ? this.#spans() < share : this.#repeats[i - 1] === true;
      this.#repeats.push(isRepeat && share > 0);
    }
    return this.#repeats[index] === true;
  }

  #lookup(): Proposer {
    return {
      kind: "lookup",
      observe: () => {},
      candidates: (path) => {
        const at = this.#written + path.length;
        // In a repeated span the continuation is found; elsewhere a match is usually misleading.
        const starts = this.#isRepeat(this.#written);
        if (!starts && this.#written % 3 !== 0) return noCandidates;
        const isRight = starts && this.#isRepeat(at);
        return { tokens: Int32Array.of(isRight ? at : -9), confidences: Float32Array.of(0.5) };
      },
    };
  }
}
