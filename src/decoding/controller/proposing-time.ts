/** EMA window (steps). */
const WINDOW = 32;
/** Longer times, relative to the mean, are clipped: they include something else, such as garbage collection. */
const MOST = 4;

/**
 * Time of proposing at an anchor. It is known before the rows of a round are chosen, so it has a price of its own; in a batch,
 * where it is spent for each sequence, it can outweigh what proposals gain.
 */
export class ProposingTime {
  /** Since the last step: milliseconds, anchors, and whether a sequence proposed for the first time. */
  #ms = 0;
  #nAnchors = 0;
  #hasFirst = false;
  /** Mean milliseconds at an anchor. */
  anchorMs = 0;

  /** Counts anchors at which a planner proposed. `isFirst`: its proposers also read the prompt, which is not a cost of anchors. */
  count(n: number, isFirst: boolean): void {
    this.#nAnchors += n;
    this.#hasFirst ||= isFirst;
  }

  /** Records the time of proposing at the anchors counted since the last call. */
  observe(ms: number): void {
    this.#ms += ms;
    const [nAnchors, hasFirst] = [this.#nAnchors, this.#hasFirst];
    this.#nAnchors = 0;
    this.#hasFirst = false;
    if (hasFirst || nAnchors === 0) return;
    const each = ms / nAnchors;
    const usual = this.anchorMs === 0 ? each : this.anchorMs;
    this.anchorMs = usual + (Math.min(each, MOST * usual) - usual) / WINDOW;
  }

  /** Ends a step of this time: how much of it was proposing. */
  endStep(stepMs: number): number {
    const ms = Math.min(this.#ms, stepMs / 2);
    this.#ms = 0;
    return ms;
  }
}
