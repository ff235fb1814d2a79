import { type DecodeFigures, methodName } from "./decode.ts";
import { escaped, htmlPage, htmlTable } from "./page/html.ts";
import { COLOURS_TEXT, intervalChart } from "./page/interval-chart.ts";

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
  /** Whether outputs end where a run of 12 tokens comes a second time. */
  readonly cutRepeats: boolean;
  /** Plain decoding first. */
  readonly figures: readonly TimedFigures[];
}

export interface TimedFigures extends DecodeFigures {
  /** Time of forwards with the same rows, without anything else, relative to a plain forward, if it was measured. */
  readonly rowsAlone?: number;
}

/** The report as one HTML page: a picture and a table for each batch size and kind of prompts. Nothing is loaded. */
export function decodePage(report: DecodeReport): string {
  const { date, cpu, instructionSet, threads, numerics, model, pairs, maxTokens, temperature, cutRepeats, figures } =
    report;
  const highest = Math.max(1.2, ...figures.map(({ speedUp }) => speedUp.high));
  const groups = [...new Set(figures.map(({ batch, kind }) => `${batch} ${kind}`))].map((key) =>
    figures.filter(({ batch, kind }) => key === `${batch} ${kind}`),
  );
  const drawn = temperature === undefined ? "" : `, temperature ${temperature}`;
  const conditions = `${cpu}, ${instructionSet}, ${threads} threads, numerics ${numerics}, ${date}; ${pairs} interleaved pairs, outputs of up to ${maxTokens} tokens${drawn}${cutRepeats ? ", each cut where a run of 12 tokens comes a second time" : ""}.`;
  return htmlPage(
    `Decoding of ${model}`,
    `<p>${escaped(conditions)}</p>
<p>Speed relative to plain decoding of the same texts, with the 95 % confidence interval of the median. It is the number of
tokens per forward (TPF) divided by the time of a round relative to a plain forward (OH). Plain decoding is compared with
itself: its distance from 1 is the noise. ${COLOURS_TEXT}</p>
${groups.map((group) => section(group, highest)).join("\n")}`,
  );
}

function section(figures: readonly TimedFigures[], highest: number): string {
  const [first] = figures;
  if (first === undefined) return "";
  const heading = `${first.kind}, ${first.batch === 1 ? "one sequence" : `${first.batch} sequences`}`;
  const rows = figures.map((figure) => ({ label: methodName(figure), ...figure.speedUp }));
  const repeated = `<p>${(100 * first.repeatedShare).toFixed(0)} % of plain decoding's tokens lie in repeats.</p>`;
  return `<h2>${escaped(heading)}</h2>\n${repeated}\n${intervalChart("Speed over plain decoding", rows, highest)}\n${tableOf(figures)}`;
}

function tableOf(figures: readonly TimedFigures[]): string {
  const hasRowsAlone = figures.some(({ rowsAlone }) => rowsAlone !== undefined);
  const head = ["method", "speed-up", "95 %", "tokens/s", "TPF", "OH", ...(hasRowsAlone ? ["rows alone"] : [])];
  const rows = figures.map((figure) => {
    const { speedUp, tokensPerSecond, tokensPerForward, overhead, rowsAlone, acceptanceByDepth, isSameText } = figure;
    return [
      methodName(figure),
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
  });
  return htmlTable([...head, "rows + MASK", "acceptance by depth", "bytes"], rows);
}
