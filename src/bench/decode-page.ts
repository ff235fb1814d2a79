import { type DecodeFigures, methodName } from "./decode.ts";

/** What `idlm bench decode` measured. */
export interface DecodeReport {
  readonly date: string;
  readonly cpu: string;
  readonly instructionSet: string;
  readonly threads: number;
  readonly numerics: number;
  readonly model: string;
  readonly pairs: number;
  readonly maxTokens: number;
  /** If set, replaces the prompts' temperatures. */
  readonly temperature?: number;
  /** Plain decoding first. */
  readonly figures: readonly TimedFigures[];
}

export interface TimedFigures extends DecodeFigures {
  /** Time of forwards with the same rows, without anything else, relative to a plain forward, if it was measured. */
  readonly rowsAlone?: number;
}

/** The report as one HTML page: a picture and a table for each batch size and kind of prompts. Nothing is loaded. */
export function decodePage(report: DecodeReport): string {
  const { date, cpu, instructionSet, threads, numerics, model, pairs, maxTokens, temperature, figures } = report;
  const highest = Math.max(1.2, ...figures.map(({ speedUp }) => speedUp.high));
  const groups = [...new Set(figures.map(({ batch, kind }) => `${batch} ${kind}`))].map((key) =>
    figures.filter(({ batch, kind }) => key === `${batch} ${kind}`),
  );
  const drawn = temperature === undefined ? "" : `, temperature ${temperature}`;
  const title = `Decoding of ${model}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escaped(title)}</h1>
<p>${escaped(`${cpu}, ${instructionSet}, ${threads} threads, numerics ${numerics}, ${date}; ${pairs} interleaved pairs, outputs of up to ${maxTokens} tokens${drawn}.`)}</p>
<p>Speed relative to plain decoding of the same texts, with the 95 % confidence interval of the median. It is the number of
tokens per forward (TPF) divided by the time of a round relative to a plain forward (OH). Plain decoding is compared with
itself: its distance from 1 is the noise.</p>
${groups.map((group) => section(group, highest)).join("\n")}
</body>
</html>
`;
}

function section(figures: readonly TimedFigures[], highest: number): string {
  const [first] = figures;
  if (first === undefined) return "";
  const heading = `${first.kind}, ${first.batch === 1 ? "one sequence" : `${first.batch} sequences`}`;
  return `<h2>${escaped(heading)}</h2>\n${picture(figures, highest)}\n${tableOf(figures)}`;
}

const ROW = 24;
const LABEL = 190;
const WIDTH = 760;
const AXIS = 26;

/** One line per method: its median as a dot, its confidence interval as a bar, plain decoding as a line at 1. */
function picture(figures: readonly TimedFigures[], highest: number): string {
  const height = figures.length * ROW + AXIS;
  const x = (speed: number) => (LABEL + (Math.min(speed, highest) / highest) * (WIDTH - LABEL - 12)).toFixed(1);
  const ticks = Array.from({ length: Math.floor(highest / 0.25) + 1 }, (_, i) => i / 4).filter(
    (tick) => highest < 2.5 || Number.isInteger(tick * 2),
  );
  const lines = figures.map((figure, i) => {
    const { median, low, high } = figure.speedUp;
    const y = i * ROW + ROW / 2;
    const state = median >= 1 ? "faster" : "slower";
    return `<text class="label" x="${LABEL - 10}" y="${y + 4}">${escaped(methodName(figure))}</text>
<line class="${state}" x1="${x(low)}" x2="${x(high)}" y1="${y}" y2="${y}"/><circle class="${state}" cx="${x(median)}" cy="${y}" r="5"/>`;
  });
  const grid = ticks.map(
    (tick) =>
      `<line class="${tick === 1 ? "one" : "grid"}" x1="${x(tick)}" x2="${x(tick)}" y1="0" y2="${height - AXIS}"/><text class="tick" x="${x(tick)}" y="${height - 8}">${tick} ×</text>`,
  );
  const summary = figures.map((figure) => `${methodName(figure)} ${figure.speedUp.median.toFixed(2)}`).join(", ");
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(`Speed over plain decoding: ${summary}`)}">
${grid.join("\n")}
${lines.join("\n")}
</svg>`;
}

function tableOf(figures: readonly TimedFigures[]): string {
  const hasRowsAlone = figures.some(({ rowsAlone }) => rowsAlone !== undefined);
  const head = ["method", "speed-up", "95 %", "tokens/s", "TPF", "OH", ...(hasRowsAlone ? ["rows alone"] : [])];
  const rows = figures.map((figure) => {
    const { speedUp, tokensPerSecond, tokensPerForward, overhead, rowsAlone, acceptanceByDepth, isSameText } = figure;
    const cells = [
      `${speedUp.median.toFixed(2)} ×`,
      `${speedUp.low.toFixed(2)}–${speedUp.high.toFixed(2)}`,
      tokensPerSecond.toFixed(0),
      tokensPerForward.toFixed(2),
      overhead.toFixed(2),
      ...(hasRowsAlone ? [rowsAlone?.toFixed(2) ?? ""] : []),
      `${figure.tokenRows.toFixed(1)} + ${figure.maskRows.toFixed(1)}`,
      acceptanceByDepth.map((share) => share.toFixed(2)).join(" "),
      isSameText ? "same" : "other bytes",
    ];
    return `<tr><th scope="row">${escaped(methodName(figure))}</th>${cells.map((cell) => `<td>${escaped(cell)}</td>`).join("")}</tr>`;
  });
  const all = [...head, "rows + MASK", "acceptance by depth", "bytes"];
  return `<div class="scroll"><table>
<thead><tr>${all.map((name) => `<th scope="col">${name}</th>`).join("")}</tr></thead>
<tbody>
${rows.join("\n")}
</tbody>
</table></div>`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

const [MUTED, LINE] = ["light-dark(#57606a, #9ba6b3)", "light-dark(#dcdfe3, #2b323c)"];
const [FASTER, SLOWER] = ["light-dark(#0f9d76, #2fd6a3)", "light-dark(#b42318, #ff8f85)"];
const STYLE = `
html { color-scheme: light dark; background: light-dark(#ffffff, #0e1116); color: light-dark(#1b1f24, #e7eaee); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
svg { width: 100%; max-width: 760px; height: auto; font-size: 13px; }
svg text { fill: currentColor; } .label { text-anchor: end; } svg .tick { text-anchor: middle; fill: ${MUTED}; }
.grid { stroke: ${LINE}; } .one { stroke: ${MUTED}; stroke-width: 2; }
line.faster { stroke: ${FASTER}; stroke-width: 4; } circle.faster { fill: ${FASTER}; }
line.slower { stroke: ${SLOWER}; stroke-width: 4; } circle.slower { fill: ${SLOWER}; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem .2rem 0; text-align: right; border-bottom: 1px solid ${LINE}; white-space: nowrap; }
th:first-child { text-align: left; }
`;
