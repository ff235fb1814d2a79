import { Random, Stream } from "../random.ts";
import { type AnchorSpan, anchorAt, anchorFrom, countAnchors } from "./anchors.ts";
import { ACTIVE_SEQUENCES } from "./schedule.ts";

/**
 * Anchors where rounds of decoding begin: after anchor a with k accepted proposals, the next round begins at a + k + 1.
 * For each active sequence some such walks are kept, which move on with every visit, by the acceptance of the adapter as it
 * is then. (Where rounds begin, a proposal has just failed more often than elsewhere.)
 */
export class RoundStarts {
  readonly #seed: number;
  readonly #nWalks: number;
  /** [slot, walk]; −1: none. */
  readonly #anchors: Int32Array<ArrayBuffer>;

  constructor(seed: number, nWalks: number, anchors = new Int32Array(ACTIVE_SEQUENCES * nWalks).fill(-1)) {
    this.#seed = seed;
    this.#nWalks = nWalks;
    this.#anchors = anchors;
  }

  /** The walks' places, [slot, walk], for a checkpoint. */
  get state(): Int32Array<ArrayBuffer> {
    return this.#anchors;
  }

  /** Ends the walks of the sequence that had the slot before. */
  restart(slot: number): void {
    this.#walks(slot).fill(-1);
  }

  /**
   * The anchors of a visit, different ones in ascending order: `count`, or all that there are. Those of the walks, then
   * others anywhere.
   */
  choose(step: number, slot: number, spans: readonly AnchorSpan[], count: number): number[] {
    const walks = this.#walks(slot);
    const nAnchors = countAnchors(spans);
    const random = new Random(this.#seed, Stream.roundStarts, step, slot);
    const chosen = new Set<number>();
    if (nAnchors === 0) return [];
    walks.forEach((place, walk) => {
      // The first walk starts where decoding does, the others at random, so that all of a long sequence is covered.
      const from = place < 0 && walk === 0 ? 0 : place;
      const anywhere = anchorAt(spans, random.below(nAnchors));
      const next = from < 0 ? anywhere : (anchorFrom(spans, from) ?? anywhere);
      // Walks that have met would stay together.
      const anchor = chosen.has(next) ? anywhere : next;
      walks[walk] = anchor;
      if (chosen.size < count) chosen.add(anchor);
    });
    for (const index of new Random(this.#seed, Stream.anchors, step, slot).permutation(nAnchors)) {
      if (chosen.size >= count) break;
      chosen.add(anchorAt(spans, index));
    }
    return [...chosen].sort((a, b) => a - b);
  }

  /** Advances the walks of a slot; `accepted(a)`: number of accepted proposals at anchor a, one of those chosen. */
  advance(slot: number, accepted: (anchor: number) => number): void {
    const walks = this.#walks(slot);
    walks.forEach((anchor, walk) => {
      if (anchor >= 0) walks[walk] = anchor + accepted(anchor) + 1;
    });
  }

  #walks(slot: number): Int32Array<ArrayBuffer> {
    return this.#anchors.subarray(slot * this.#nWalks, (slot + 1) * this.#nWalks);
  }
}
