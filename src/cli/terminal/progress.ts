import type { CliIo } from "./io.ts";
import { canRedraw, LiveLine, megabytes } from "./style.ts";

/** Columns of the bar itself. */
const BAR_WIDTH = 28;

/** A terminal is redrawn at most this often. */
const REDRAW_MS = 80;

/** What the hub and the engine do, as a person would say it. */
export const stages = { verify: "verifying", download: "downloading", extract: "unpacking", load: "loading" } as const;

/** Work below this is done before anybody could read about it; off a terminal it is not worth a line. */
const QUIET_BYTES = 16e6;

/** Shows how far work over bytes is: a bar on a terminal, else a line when it begins and one per quarter. All among the notices. */
export class Progress {
  readonly #io: CliIo;
  readonly #line: LiveLine;
  #drawnMs = -Infinity;
  #label = "";
  #quarter = 0;

  constructor(io: CliIo) {
    this.#io = io;
    this.#line = new LiveLine(io);
  }

  /** `total` in bytes; undefined where the source does not say. */
  update(label: string, done: number, total: number | undefined): void {
    if (!canRedraw(this.#io, this.#io.notices)) {
      this.#plain(label, done, total);
      return;
    }
    const nowMs = performance.now();
    const finished = total !== undefined && done >= total;
    if (label === this.#label && !finished && nowMs - this.#drawnMs < REDRAW_MS) return;
    this.#drawnMs = nowMs;
    this.#label = label;
    if (label.startsWith(stages.load)) {
      // Packing the weights takes a moment and has no bytes to count.
      this.#line.show(`${label} …`);
      return;
    }
    const share = total === undefined || total === 0 ? undefined : Math.min(1, done / total);
    const bar =
      share === undefined
        ? ""
        : `[${"#".repeat(Math.round(share * BAR_WIDTH)).padEnd(BAR_WIDTH, ".")}] ${Math.floor(share * 100)} % `;
    this.#line.show(`${label} ${bar}${megabytes(done)}${total === undefined ? "" : ` of ${megabytes(total)}`}`);
  }

  /** Takes the bar away. */
  end(): void {
    this.#line.clear();
  }

  #plain(label: string, done: number, total: number | undefined): void {
    if (label.startsWith(stages.load) || (!this.#io.isVerbose && (total ?? 0) < QUIET_BYTES)) return;
    if (label !== this.#label) {
      this.#label = label;
      this.#quarter = 0;
      this.#io.notices.write(`${label}${total === undefined ? "" : `, ${megabytes(total)}`}\n`);
    }
    const quarter = total === undefined || total === 0 ? 0 : Math.floor((4 * done) / total);
    if (quarter > this.#quarter) {
      this.#quarter = quarter;
      this.#io.notices.write(`${label}: ${quarter * 25} %\n`);
    }
  }
}
