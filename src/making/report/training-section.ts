import { htmlTable } from "../../bench/page/html.ts";
import { lineChart, type Series } from "../../bench/page/line-chart.ts";
import type { TrainFigures, TrainPoint } from "../train-stage.ts";
import type { WriteFigures } from "../write-stage.ts";

const sourceNames: Readonly<Record<string, string>> = {
  human: "texts by people",
  model: "own questions",
  template: "tasks",
  file: "your prompts",
};

/** Loss and survival. */
export function trainingSection(train: TrainFigures | undefined): string {
  if (train === undefined) return "";
  const { curve, shape, evaluation, coverage, parameters, step } = train;
  const points = curve.filter(({ loss }) => Number.isFinite(loss));
  const last = points.at(-1);
  const description = `${parameters.toLocaleString("en-US")} trained parameters: ${shape.masks} depths of MASK rows that enter at layer ${shape.entryLayer}, a LoRA of
rank ${shape.rank}, ${shape.draftVocabulary.toLocaleString("en-US")} tokens that can be proposed (${(100 * coverage).toFixed(1)} % of held-out text). Trained on ${(last?.positions ?? 0).toLocaleString("en-US")} MASK rows in
${last?.step ?? 0} steps; the adapter is the state after step ${step}, which had the best predicted speed.`;
  return `<h2>Training</h2>
<p>${description}</p>
${points.length < 2 ? "" : lossChart(points)}
${points.length < 2 ? "" : progressChart(points, shape.masks)}
${evaluation === undefined ? "" : survivalChart(evaluation.sources, evaluation.survival)}
<p class="note">Survival at depth n: the share of places in held-out text where the first n proposals are all the tokens that follow.
The tokens per forward are 1 plus the sum of the survivals of the depths that a round uses, if no round starts without proposals.</p>`;
}

function lossChart(points: readonly TrainPoint[]): string {
  const series = [{ name: "training", points: points.map(({ positions, loss }) => [positions, loss] as const) }];
  const losses = points.map(({ loss }) => loss);
  const yAxis = { label: "loss: −log of the probability that a proposal is accepted", from: Math.min(...losses) * 0.9 };
  return lineChart("Loss over MASK rows trained", { label: "MASK rows trained" }, yAxis, series);
}

function progressChart(points: readonly TrainPoint[], masks: number): string {
  const evaluated = points.filter(({ evaluation }) => evaluation !== undefined);
  if (evaluated.length < 2) return "";
  const series = Array.from({ length: masks }, (_, depth): Series => {
    const values = evaluated.map(({ positions, evaluation }) => [positions, evaluation?.survival[depth] ?? 0] as const);
    return { name: `depth ${depth + 1}`, points: values };
  });
  return lineChart("Survival over MASK rows trained", { label: "MASK rows trained" }, { label: "survival" }, series);
}

function survivalChart(
  sources: Readonly<Record<string, { readonly survival: readonly number[] }>>,
  all: readonly number[],
): string {
  const points = (values: readonly number[]) => values.map((value, i) => [i + 1, value] as const);
  const ofSources = Object.entries(sources).map(([name, { survival }]): Series => {
    return { name: sourceNames[name] ?? name, points: points(survival) };
  });
  const series =
    ofSources.length < 2 ? ofSources : [...ofSources, { name: "all", points: points(all), isDashed: true }];
  const xAxis = { label: "depth of the proposal", from: 0.8, to: all.length + 0.2, ticks: all.map((_, i) => i + 1) };
  return lineChart(
    "Survival by depth and source",
    xAxis,
    { label: "survival on held-out text, by source", from: 0 },
    series,
  );
}

/** What the training text consists of. */
export function textSection(write: WriteFigures | undefined): string {
  if (write === undefined) return "";
  const { rows, held_out_rows, response_tokens, sources, dropped } = write;
  const count = (value: number) => value.toLocaleString("en-US");
  const table = Object.entries(sources).map(([name, of]) => [
    sourceNames[name] ?? name,
    count(of.rows),
    count(of.response_tokens),
  ]);
  const nDropped = Object.values(dropped).reduce((sum, n) => sum + n, 0);
  return `<h2>Training text</h2>
<p>The model wrote ${count(rows)} answers of ${count(response_tokens)} tokens in all. Held out and never trained on: ${count(held_out_rows)}.
${count(nDropped)} requests were dropped (repeats, loops, empty answers; dropped.jsonl in the folder text has the reasons).</p>
${htmlTable(["prompts", "answers", "tokens"], table)}`;
}
