import type { CliIo } from "./io.ts";
import { canRedraw, LiveLine, megabytes } from "./style.ts";

/** Columns of the bar. */
const BAR_WIDTH = 28;

/** A terminal is redrawn at most this often. */
const REDRAW_MS = 80;

/** Labels of the stages of pulling and loading. */
export const stages = { verify: "verifying", download: "downloading", extract: "unpacking", load: "loading" } as const;

/** Smaller work finishes quickly, and is not reported without a terminal. */
const QUIET_BYTES = 16e6;

/** Shows progress over bytes in the notices: a bar on a terminal, else a line at the start and one per quarter. */
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

  /** `total` in bytes; undefined if unknown. */
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
      // Packing weights has no byte count.
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

  /** Clears the bar. */
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
