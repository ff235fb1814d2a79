import pc from "picocolors";
import type { CliIo, Output } from "./io.ts";

export type Colors = ReturnType<typeof pc.createColors>;

/** Colours for a stream: only on a terminal, and not with NO_COLOR (no-color.org) or TERM=dumb. */
export function colorsFor(io: CliIo, output: Output): Colors {
  return pc.createColors(output.isTTY === true && !io.env.NO_COLOR && io.env.TERM !== "dumb");
}

/** Whether a line can be redrawn in place. */
export function canRedraw(io: CliIo, output: Output): boolean {
  return output.isTTY === true && io.env.TERM !== "dumb";
}

/** Formats rows of cells in columns two spaces apart: the first left-aligned, the others right-aligned. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  }
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}

/** A status line in the notices that is redrawn in place; silent without a terminal. */
export class LiveLine {
  readonly #io: CliIo;
  readonly #enabled: boolean;
  /** The line's current text. */
  #text = "";

  constructor(io: CliIo, enabled = true) {
    this.#io = io;
    this.#enabled = enabled && canRedraw(io, io.notices);
  }

  get enabled(): boolean {
    return this.#enabled;
  }

  show(text: string): void {
    if (!this.#enabled) return;
    // One column stays free: a line that fills the last column wraps and could not be cleared.
    const width = Math.max(20, (this.#io.notices.columns || 80) - 1);
    this.#text = truncate(printable(text), width);
    this.#io.notices.write(`\r\x1b[2K${this.#text}`);
  }

  clear(): void {
    if (this.#text === "") return;
    this.#text = "";
    this.#io.notices.write("\r\x1b[2K");
  }
}

/** The text on one line, without control characters (a model's output may contain escape sequences). */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ");
}

/** Truncates to `width` columns. Characters from U+1100 on count as two: overestimating is harmless, underestimating wraps. */
function truncate(text: string, width: number): string {
  let columns = 0;
  let kept = "";
  for (const character of text) {
    columns += (character.codePointAt(0) ?? 0) < 0x1100 ? 1 : 2;
    if (columns < width) kept += character;
    if (columns > width) return `${kept}…`;
  }
  return text;
}

/** A number with thousands separators: 134,515,008. */
export function grouped(count: number): string {
  return count.toLocaleString("en-US");
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** 45 s, 12 min, 3 h 05 min */
export function duration(seconds: number): string {
  const minutes = Math.round(seconds / 60);
  if (minutes < 1) return `${Math.round(seconds)} s`;
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}
