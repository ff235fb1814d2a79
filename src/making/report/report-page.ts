import { colours, escaped, htmlPage, htmlTable } from "../../bench/page/html.ts";
import { disturbance } from "../bench-stage.ts";
import type { MakeState } from "../make-state.ts";
import { stageNames, stageTitles } from "../stages.ts";
import { machineSection } from "./machine-section.ts";
import { bytesSection, samplesSection } from "./samples-section.ts";
import { intervalName, settingsSection, speedSection } from "./speed-section.ts";
import { textSection, trainingSection } from "./training-section.ts";

const STYLE = `
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 1rem; margin: 1.5rem 0; padding: 0; }
.tiles div { border: 1px solid ${colours.line}; border-radius: 8px; padding: .8rem 1rem; }
.tiles strong { display: block; font-size: 1.7rem; line-height: 1.2; } .tiles span { color: ${colours.muted}; font-size: .9rem; }
.note { color: ${colours.muted}; font-size: .9rem; }
pre { background: light-dark(#f3f4f6, #1a1f27); border-radius: 6px; padding: .7rem 1rem; overflow-x: auto; font-size: .85rem; }
.sides { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; } @media (max-width: 45rem) { .sides { grid-template-columns: 1fr; } }
.sample { border-top: 1px solid ${colours.line}; padding-top: .6rem; margin-top: 1rem; } .sample p { margin: .3rem 0; }
.answer { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .92rem; }
mark { background: light-dark(#c9f0e2, #14513f); color: inherit; border-radius: 2px; }
h2 + p { margin-top: .3rem; }
`;

/** The report of a finished make as one HTML page, which loads nothing. `commands` use the adapter, in its folder. */
export function reportPage(state: MakeState, commands: readonly string[]): string {
  const { model, results } = state;
  return htmlPage(
    `An adapter for ${model.name}`,
    [
      summary(state),
      use(commands),
      speedSection(results),
      samplesSection(results.verify),
      bytesSection(results.verify),
      trainingSection(results.train),
      settingsSection(results.settings),
      textSection(results.write),
      machineSection(results.machine),
      timeSection(state),
    ].join("\n"),
    STYLE,
  );
}

function summary({ results, workMs, settings }: MakeState): string {
  const { bench, verify } = results;
  const normal = bench?.figures.at(-1);
  const { median = 1, low = 1, high = 1 } = normal?.speedUp ?? {};
  const hours = Object.values(workMs).reduce((sum, ms) => sum + ms, 0) / 3_600_000;
  const disturbed = bench && disturbance(bench);
  const nTexts = verify?.texts.length ?? 0;
  const tiles = [
    [
      `${median.toFixed(2)} ×`,
      `the speed of plain decoding (${intervalName(bench?.pairs ?? 0)}: ${low.toFixed(2)} to ${high.toFixed(2)})`,
    ],
    [(normal?.tokensPerForward ?? 1).toFixed(2), "tokens per forward; plain decoding: 1"],
    [`${nTexts} of ${nTexts}`, "texts with the bytes of plain decoding"],
    [timeText(hours), `of work; planned: ${timeText(settings.hours)}`],
  ];
  const shown = tiles.map(
    ([value = "", what = ""]) => `<div><strong>${value}</strong><span>${escaped(what)}</span></div>`,
  );
  return `<p>This adapter lets the model propose several tokens per forward pass. Each proposal is checked by the model itself, so the
text is exactly what the model writes alone; only the time changes. ${escaped(verdict(median, low, disturbed))}</p>
<div class="tiles">${shown.join("")}</div>`;
}

function timeText(hours: number): string {
  return hours < 0.95 ? `${(60 * hours).toFixed(hours < 0.1 ? 1 : 0)} min` : `${Number(hours.toFixed(1))} h`;
}

function verdict(median: number, low: number, disturbed: number | undefined): string {
  if (disturbed !== undefined) {
    return `Other programs disturbed the measurement of speed: plain decoding differed from itself by ${disturbed} %. Measure again on a quiet machine with the command race below.`;
  }
  const percent = Math.round(Math.abs(median - 1) * 100);
  if (percent === 0) return "On this machine decoding with it takes as long as without it, so far.";
  if (low > 1) return `On this machine text like the training text is decoded ${percent} % faster than without it.`;
  if (median > 1) return "On this machine it gains little so far: the gain is within the noise of the measurement.";
  return `On this machine it gains nothing yet (${percent} % slower). Longer training, or a machine with cheaper rows, may change that.`;
}

function use(commands: readonly string[]): string {
  return `<h2>Use it</h2>
<p>In the folder of this report:</p>
<pre tabindex="0">${escaped(commands.join("\n"))}</pre>`;
}

function timeSection({ results, workMs, settings, model }: MakeState): string {
  const { machine } = results;
  const minutes = (seconds: number | undefined) => (seconds === undefined ? "" : (seconds / 60).toFixed(1));
  const rows = stageNames.map((name) => [
    stageTitles[name],
    minutes(machine?.plan.seconds[name]),
    minutes((workMs[name] ?? 0) / 1000),
  ]);
  return `<h2>How it was made</h2>
${htmlTable(["stage", "planned, minutes", "used, minutes"], rows)}
<p class="note">Model ${escaped(model.name)}, SHA-256 <code>${model.fingerprint}</code>; ${timeText(settings.hours)}, seed ${settings.seed}. Training gets the
time that the stages before it leave over. make.json beside this page has all figures.</p>`;
}
