import { type DecodeFigures, methodName } from "../../bench/decode.ts";
import { escaped, htmlTable } from "../../bench/page/html.ts";
import { COLOURS_TEXT, intervalChart, type IntervalRow } from "../../bench/page/interval-chart.ts";
import type { PredictedSpeed } from "../../training/evaluation/predict-speed.ts";
import type { StageResults } from "../make-state.ts";
import { isComparable, type SettingsFigures } from "../settings-stage.ts";

/** Predicted and measured speed by shape of rounds. */
export function speedSection({ bench, train }: StageResults): string {
  if (bench === undefined) return "";
  const predicted = train?.evaluation?.predicted;
  const rows = bench.figures.map((figure): IntervalRow => {
    return { label: nameOf(figure), ...figure.speedUp, expected: expectedSpeedUp(figure, predicted) };
  });
  const highest = 1.05 * Math.max(1.2, ...rows.map(({ high, expected = 0 }) => Math.max(high, expected)));
  const table = bench.figures.map((figure) => {
    const { speedUp, tokensPerSecond, tokensPerForward, overhead, acceptanceByDepth } = figure;
    const expected = expectedSpeedUp(figure, predicted);
    return [
      nameOf(figure),
      `${speedUp.median.toFixed(2)} ×`,
      expected === undefined ? "" : `${expected.toFixed(2)} ×`,
      tokensPerSecond.toFixed(1),
      tokensPerForward.toFixed(2),
      overhead.toFixed(2),
      acceptanceByDepth.map((share) => share.toFixed(2)).join(" "),
    ];
  });
  const head = ["decoding", "speed-up", "predicted", "tokens/s", "tokens per forward", "cost of a round", "acceptance"];
  return `<h2>Speed</h2>
<p>Speed relative to plain decoding of the same texts: measured (dot, with the ${intervalName(bench.pairs)} of ${bench.pairs} interleaved pairs of runs over
${bench.prompts} held-out prompts) and predicted in training from the acceptance on held-out text and the times of forwards (diamond).
“Default” is what <code>idlm run</code> does: a controller chooses the shape of each round, from all sources of proposals.
Plain decoding is compared with itself: its distance from 1 is the noise. ${COLOURS_TEXT}</p>
${intervalChart("Speed over plain decoding", rows, highest)}
${htmlTable(head, table)}
<p class="note">Speed-up = tokens per forward ÷ cost of a round relative to a plain forward. Stride: the most tokens that a round can
yield. Chain: one run of MASK rows; quadratic: one below each proposal, so that a rejection costs no round. Acceptance: by depth,
of proposals whose predecessors were accepted.</p>`;
}

/** What `speedUp` has beside its median, by the number of pairs. */
export function intervalName(pairs: number): string {
  return pairs < 6 ? "range" : "95 % interval";
}

function nameOf(figure: DecodeFigures): string {
  const { drafter, shape, stride } = figure;
  if (drafter === "none") return "plain decoding";
  if (drafter === "auto") return "default";
  if (shape === "auto") return "MASK rows, controller";
  return drafter === "mask" ? `${shape}, stride ${stride}` : methodName(figure);
}

function expectedSpeedUp({ drafter, shape, stride }: DecodeFigures, predicted: PredictedSpeed | undefined) {
  if (drafter !== "mask" || predicted?.shapes === undefined) return undefined;
  const found = predicted.shapes.find(({ form, length }) => form === shape && length + 1 === stride);
  return found && found.tokensPerSecond / predicted.plainTokensPerSecond;
}

/** The settings that were compared. */
export function settingsSection(settings: SettingsFigures | undefined): string {
  if (settings === undefined || settings.variants.length === 0) {
    return `<h2>Settings</h2>\n<p>There was no time to compare settings: the defaults were used.</p>`;
  }
  const { variants, chosen, secondsEach } = settings;
  const isChosen = (own: object) => JSON.stringify(own) === JSON.stringify(chosen);
  const rows = variants.map(({ name, settings: own, steps, survival, speedUp }) => [
    isChosen(own) ? `${name} (chosen)` : name,
    String(steps),
    survival.map((share) => share.toFixed(2)).join(" / "),
    `${speedUp.toFixed(2)} ×`,
  ]);
  const head = ["settings", "steps", "survival at depths 1, 2, …", "predicted speed-up"];
  return `<h2>Settings</h2>
<p>Each was trained for ${escaped(secondsEach.toFixed(0))} seconds. MASK rows that enter at a later layer are cheaper and accepted less often; which one pays
depends on the machine. The default, in the first line, is replaced only by settings that are predicted to be 1 % faster.${isComparable(variants) ? "" : " Here other programs kept the machine busy: so few steps say nothing, and the default was used."}</p>
${htmlTable(head, rows)}`;
}
