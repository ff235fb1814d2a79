import type { DepthFigures } from "../../training/evaluation/evaluate.ts";
import type { Evaluation } from "../../training/evaluation/evaluation.ts";
import type { TrainEvent } from "../../training/train.ts";
import type { TrainResult } from "../../training/training-loop.ts";
import type { WeightEvent } from "../../training/weights/train-weights.ts";
import type { WeightEvaluation } from "../../training/weights/weight-evaluation.ts";
import type { Cli } from "../cli.ts";
import { duration, grouped, LiveLine, table } from "./style.ts";

/** Steps that a line of progress sums up. */
const STEPS_PER_LINE = 10;

type Event = TrainEvent | WeightEvent;
type StepEvent = Extract<Event, { kind: "step" }>;
type StartEvent = Extract<Event, { kind: "start" }>;

/** Shows a training: loss, survival by depth, rows with a target a second, time left; with --json a JSON line per event. */
export class TrainingProgress {
  readonly #cli: Cli;
  readonly #isJson: boolean;
  readonly #line: LiveLine;
  #recent: StepEvent[] = [];
  /** Elapsed time at the end of the line before. */
  #lineMs: number | undefined;
  #firstMs = 0;
  #firstShare = 0;

  constructor(cli: Cli, isJson: boolean) {
    this.#cli = cli;
    this.#isJson = isJson;
    this.#line = new LiveLine(cli.io);
  }

  show(event: Event): void {
    if (event.kind === "step") {
      this.#step(event);
      return;
    }
    if (this.#isJson) this.#json(event);
    else this.#notice(event);
  }

  /** Clears the live line. */
  end(): void {
    this.#line.clear();
  }

  finish(out: string, { status, step, evaluation }: TrainResult<Evaluation | WeightEvaluation>): void {
    if (this.#isJson) {
      this.#json({ kind: "end", status, step, out });
      return;
    }
    const { io } = this.#cli;
    if (status === "stopped") {
      io.notices.write(`Stopped after step ${step}. Run the same command again to go on.\n`);
    } else if (status === "already finished") {
      io.notices.write(`${out}: finished already.\n`);
    } else {
      io.stdout.write(`${out}\n${evaluation === undefined ? "" : evaluationText(evaluation)}`);
    }
  }

  #step(event: StepEvent): void {
    if (this.#lineMs === undefined) {
      // The first step of a session also computes what the next ones reuse.
      this.#lineMs = event.elapsedMs;
      this.#firstMs = event.elapsedMs;
      this.#firstShare = event.share;
      if (this.#isJson) return;
    }
    this.#recent.push(event);
    const figures = this.#figures(event);
    if (this.#line.enabled && !this.#isJson) this.#line.show(stepText(figures));
    if (event.step % STEPS_PER_LINE !== 0) return;
    if (this.#isJson) this.#json({ kind: "step", ...figures });
    else if (!this.#line.enabled && (this.#cli.io.isVerbose || event.step % (10 * STEPS_PER_LINE) === 0)) {
      this.#cli.io.notices.write(`${stepText(figures)}\n`);
    }
    this.#recent = [];
    this.#lineMs = event.elapsedMs;
  }

  #figures(event: StepEvent): StepFigures {
    const recent = this.#recent.length === 0 ? [event] : this.#recent;
    const mean = (value: (step: StepEvent) => number) =>
      recent.reduce((sum, step) => sum + value(step), 0) / recent.length;
    const ms = event.elapsedMs - (this.#lineMs ?? 0);
    const share = event.share - this.#firstShare;
    const sessionMs = event.elapsedMs - this.#firstMs;
    return {
      step: event.step,
      share: event.share,
      loss: mean(({ loss }) => loss),
      survival: event.survival.map((_, depth) => mean(({ survival }) => survival[depth] ?? 0)),
      gradientNorm: mean(({ gradientNorm }) => gradientNorm),
      learningRate: event.learningRate,
      positionsPerSecond: ms > 0 ? (1000 * mean(({ rows }) => rows) * recent.length) / ms : 0,
      elapsedSeconds: event.elapsedMs / 1000,
      secondsLeft: share > 0 ? ((sessionMs / share) * (1 - event.share)) / 1000 : 0,
    };
  }

  #notice(event: Exclude<Event, StepEvent>): void {
    const { notices, isVerbose } = this.#cli.io;
    this.#line.clear();
    if (event.kind === "start") {
      const { rows, heldOutRows, parameters, step } = event;
      notices.write(
        `${grouped(parameters)} parameters${shapeText(event)}; ${grouped(rows)} rows, ${grouped(heldOutRows)} held out\n`,
      );
      if (step > 0) notices.write(`going on after step ${grouped(step)}\n`);
    } else if (event.kind === "evaluation") {
      notices.write(`step ${grouped(event.step)}\n${evaluationText(event.evaluation)}`);
    } else if (isVerbose) {
      notices.write(`checkpoint ${event.path}\n`);
    }
  }

  #json(value: Readonly<Record<string, unknown>>): void {
    this.#cli.io.stdout.write(`${JSON.stringify(value)}\n`);
  }
}

/** Means over the last steps. */
interface StepFigures {
  readonly [name: string]: unknown;
  readonly step: number;
  readonly share: number;
  readonly loss: number;
  readonly survival: readonly number[];
  readonly positionsPerSecond: number;
  readonly secondsLeft: number;
}

function stepText({ step, share, loss, survival, positionsPerSecond, secondsLeft }: StepFigures): string {
  const parts = [
    `step ${grouped(step)} (${percent(share)})`,
    `loss ${loss.toFixed(3)}`,
    ...(survival.length > 0 ? [`survival ${shares(survival)}`] : []),
    `${positionsPerSecond.toFixed(0)} positions/s`,
  ];
  if (secondsLeft > 0) parts.push(`${duration(secondsLeft)} left`);
  return parts.join(", ");
}

function shapeText(event: StartEvent): string {
  if ("responseTokens" in event) {
    const { objective, masks } = event.record.settings;
    const blocks = objective === "plain" ? "" : ` with blocks of 1 to ${masks} MASKs`;
    return `${blocks}, ${grouped(event.responseTokens)} tokens of responses`;
  }
  const { masks, entryLayer, rank, draftVocabulary } = event.record.settings;
  return (
    `: ${masks} MASK depths from layer ${entryLayer}, rank ${rank}, ${grouped(draftVocabulary)} draft ids ` +
    `(${percent(event.coverage)} of held-out text)`
  );
}

function evaluationText(evaluation: Evaluation | WeightEvaluation): string {
  return "sources" in evaluation ? adapterText(evaluation) : weightsText(evaluation);
}

function weightsText({ tokens, loss, accuracy, masks }: WeightEvaluation): string {
  const clean = `held-out text: ${grouped(tokens)} tokens, loss ${loss.toFixed(4)}, ${percent(accuracy)} ranked first`;
  if (masks === undefined) return `${clean}\n`;
  return `${clean}; MASKs: loss ${masks.loss.toFixed(4)}, survival ${shares(masks.survival)}\n`;
}

function adapterText({ sources, predicted, ...all }: Evaluation): string {
  const row = (name: string, { anchors, survival, overlap, coverage2, coverage4 }: DepthFigures) => [
    name,
    grouped(anchors),
    shares(survival),
    shares(overlap),
    shares(coverage2),
    shares(coverage4),
  ];
  const rows = [
    ["held-out text", "anchors", "survival", "overlap", "in best 2", "in best 4"],
    ...Object.entries(sources).map(([name, figures]) => row(name, figures)),
    row("all", all),
  ];
  if (predicted === undefined) return table(rows);
  const { tokensPerSecond, plainTokensPerSecond, form, length, tokensPerForward } = predicted;
  const shape =
    length === 0 ? "plain decoding" : `${form} of ${length}, ${tokensPerForward.toFixed(2)} tokens per forward`;
  return `${table(rows)}predicted: ${tokensPerSecond.toFixed(1)} tokens/s (${shape}); plain ${plainTokensPerSecond.toFixed(1)}\n`;
}

function shares(values: readonly number[]): string {
  return values.map((value) => value.toFixed(3).replace(/^0/, "")).join("/");
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
