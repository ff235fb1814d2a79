import type { WireRound } from "../../api/wire.ts";
import { sourceKey } from "../../rounds/sources.ts";
import { isPrefill } from "../../rounds/statistics.ts";
import { Canvas, type Draw } from "./canvas.tsx";

interface StripProps {
  readonly rounds: readonly WireRound[];
  readonly selected: number;
  readonly onSelect: (index: number) => void;
}

const HEIGHT = 96;
/** Of the part with the times. */
const TIME_HEIGHT = 22;
const COLUMN = 7;
/** Rows that there is room for; the rest is cut. */
const MAX_ROWS = 12;
/** Rows are as high as this many need, even if all have fewer. */
const MIN_ROWS = 5;

/** One column per forward: its rows, filled if they stood, and its time below. A slider for the keyboard. */
export function Strip({ rounds, selected, onSelect }: StripProps) {
  const round = rounds[selected];
  const accepted = round?.proposals.filter((proposal) => proposal.accepted).length ?? 0;
  const last = rounds.length - 1;
  let first = 0;
  let width = COLUMN;
  const draw: Draw = (context, total, height, colour) => {
    const nColumns = Math.floor(total / COLUMN);
    width = COLUMN;
    // The selected column and as many around it as there is room for.
    first = Math.max(0, Math.min(last + 1 - nColumns, selected - Math.floor(nColumns / 2)));
    const shown = rounds.slice(first, first + nColumns);
    const slowest = Math.max(...shown.slice(first === 0 ? 1 : 0).map(({ ms }) => ms), 1e-3);
    const nRows = Math.max(MIN_ROWS, Math.min(MAX_ROWS, Math.max(...shown.map((one) => cells(one).length))));
    const rowHeight = (height - TIME_HEIGHT - 6) / nRows;
    const base = height - TIME_HEIGHT - 4;
    for (const [i, one] of shown.entries()) {
      const x = i * COLUMN;
      if (first + i === selected) {
        context.fillStyle = colour("selected");
        context.fillRect(x - 0.5, 0, COLUMN, height);
      }
      cells(one).forEach((cell, row) => {
        if (row >= nRows) return;
        const y = base - (row + 1) * rowHeight;
        context.fillStyle = colour(cell.kind === "stood" ? `source-${cell.source}` : "line");
        context.strokeStyle = colour("rejected");
        if (cell.kind === "rejected") context.strokeRect(x + 0.5, y + 1.5, COLUMN - 2.5, rowHeight - 2.5);
        else context.fillRect(x, y + 1, COLUMN - 1.5, rowHeight - 1.5);
      });
      context.fillStyle = colour("muted");
      const bar = Math.min(1, one.ms / slowest) * (TIME_HEIGHT - 2);
      context.fillRect(x, height - bar, COLUMN - 1.5, bar);
    }
  };
  const pick = (event: MouseEvent & { readonly currentTarget: HTMLElement }) => {
    const x = event.clientX - event.currentTarget.getBoundingClientRect().left;
    onSelect(Math.max(0, Math.min(last, first + Math.floor(x / width))));
  };
  return (
    <div
      class="strip"
      role="slider"
      tabIndex={0}
      aria-label="Forward"
      aria-valuemin={1}
      aria-valuemax={rounds.length}
      aria-valuenow={selected + 1}
      aria-valuetext={`Forward ${round?.forward}: ${round?.rows} rows, ${accepted} of ${round?.proposals.length} proposals stood, ${round?.ms.toFixed(1)} ms`}
      onClick={pick}
      onPointerMove={(event) => {
        if (event.buttons === 1) pick(event);
      }}
      onKeyDown={(event) => {
        const steps: Readonly<Record<string, number>> = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
        const step = event.key === "Home" ? -last : event.key === "End" ? last : steps[event.key];
        if (step === undefined) return;
        event.preventDefault();
        onSelect(Math.max(0, Math.min(last, selected + step)));
      }}
    >
      <Canvas height={HEIGHT} draw={draw} />
    </div>
  );
}

type Cell = { readonly kind: "stood"; readonly source: string } | { readonly kind: "rejected" | "ahead" };

/** From below: the drawn token, the proposals that stood, the others, MASK rows. The rows of the prompt are left out. */
function cells(round: WireRound): readonly Cell[] {
  const { proposals, tokens, rows } = round;
  const nMaskRows = isPrefill(round) ? 0 : Math.min(MAX_ROWS, Math.max(0, rows - 1 - proposals.length));
  return [
    ...tokens.map(({ source, depth }) => ({ kind: "stood" as const, source: sourceKey(source, depth) })).reverse(),
    ...proposals.filter(({ accepted }) => !accepted).map(() => ({ kind: "rejected" as const })),
    ...Array.from({ length: nMaskRows }, () => ({ kind: "ahead" as const })),
  ];
}
