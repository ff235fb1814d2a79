import { disturbance } from "../../making/bench-stage.ts";
import type { MakeEvent, MakeResult } from "../../making/make.ts";
import { type StageName, stageNames, stageTitles } from "../../making/stages.ts";
import type { Cli } from "../cli.ts";
import { Progress, stages } from "./progress.ts";
import { duration, LiveLine, printable } from "./style.ts";

const REDRAW_MS = 200;
/** Without a terminal, and with --json. */
const LINE_MS = 30_000;

type ProgressEvent = Extract<MakeEvent, { kind: "progress" }>;

/** Shows a make: the plan, and one line with the time left; with --json a JSON line per event. */
export class MakeProgress {
  readonly #cli: Cli;
  readonly #name: string;
  readonly #isJson: boolean;
  readonly #line: LiveLine;
  readonly #download: Progress;
  /** The stage that has nothing to do. */
  #leftOut: StageName | undefined;
  #drawnMs = Number.NEGATIVE_INFINITY;

  constructor(cli: Cli, name: string, isJson: boolean) {
    this.#cli = cli;
    this.#name = name;
    this.#isJson = isJson;
    this.#line = new LiveLine(cli.io);
    this.#download = new Progress(cli.io);
  }

  show(event: MakeEvent): void {
    if (event.kind === "download") {
      const { stage, bytesDone, bytesTotal } = event;
      this.#download.update(`${stages[stage]} ${this.#name}`, bytesDone, bytesTotal);
      return;
    }
    this.#download.end();
    if (event.kind === "progress") this.#progress(event);
    else if (event.kind === "notice") this.#notice(event.text);
    else if (this.#isJson) this.#json(jsonOf(event));
    else if (event.kind === "plan") {
      this.#leftOut = event.plan.variants === 0 ? "settings" : undefined;
      this.#notice(planText(event));
    } else if (event.kind === "end" && event.stage !== this.#leftOut) {
      this.#notice(`${stageTitles[event.stage]}: done after ${duration(event.workMs / 1000)}`);
    }
  }

  /** Clears the live lines. */
  end(): void {
    this.#download.end();
    this.#line.clear();
  }

  stopped(out: string): void {
    if (this.#isJson) this.#json({ kind: "result", status: "stopped", out });
    this.#notice("Stopped. Run the same command again to go on.");
  }

  finish({ status, adapter, report, state }: MakeResult): void {
    this.end();
    const { bench } = state.results;
    const figures = bench?.figures ?? [];
    const disturbed = bench && disturbance(bench);
    const [speedUp, tokensPerForward] = [figures.at(-1)?.speedUp.median, figures.at(-1)?.tokensPerForward];
    if (this.#isJson) {
      const sameBytes = { texts: state.results.verify?.texts.length ?? 0 };
      this.#json({ kind: "result", status, adapter, report, speedUp, tokensPerForward, disturbed, sameBytes });
      return;
    }
    if (status === "already finished") this.#notice("finished already");
    const lines = [
      ["adapter", adapter],
      ["report", report],
    ];
    if (speedUp !== undefined && Number.isFinite(speedUp)) {
      lines.push([
        "decoding",
        `${speedUp.toFixed(2)} x plain decoding, ${tokensPerForward?.toFixed(2)} tokens per forward`,
      ]);
    }
    if (disturbed !== undefined) {
      const what = `other programs ran: plain decoding differed from itself by ${disturbed} %`;
      lines.push(["", `${what}; measure again with idlm race`]);
    }
    for (const [name = "", value = ""] of lines) this.#cli.io.stdout.write(`${name.padEnd(10)}${value}\n`);
  }

  #progress(event: ProgressEvent): void {
    const isLive = this.#line.enabled && !this.#isJson;
    const nowMs = performance.now();
    if (nowMs - this.#drawnMs < (isLive ? REDRAW_MS : LINE_MS)) return;
    this.#drawnMs = nowMs;
    if (this.#isJson) this.#json({ ...event });
    else if (isLive) this.#line.show(progressText(event));
    else this.#notice(progressText(event));
  }

  #notice(text: string): void {
    this.#line.clear();
    this.#cli.io.notices.write(`${text.split("\n").map(printable).join("\n").trimEnd()}\n`);
  }

  #json(value: Readonly<Record<string, unknown>>): void {
    this.#cli.io.stdout.write(`${JSON.stringify(value)}\n`);
  }
}

function jsonOf(event: Exclude<MakeEvent, { kind: "download" | "progress" | "notice" }>) {
  if (event.kind !== "plan") return { ...event };
  const { settings, results, workMs } = event.state;
  const { plan: _, ...machine } = results.machine ?? {};
  return { kind: "plan", settings, plan: event.plan, machine, workMs, finished: Object.keys(results) };
}

function progressText({ stage, share, detail, secondsLeft }: ProgressEvent): string {
  const number = `[${stageNames.indexOf(stage) + 1}/${stageNames.length}]`;
  const percent = `${Math.floor(100 * Math.min(1, share))} %`;
  const left = secondsLeft === undefined ? "" : `, ${duration(secondsLeft)} left in all`;
  return `${number} ${stageTitles[stage]}: ${percent}${left}; ${detail}`;
}

function planText({ plan, state }: Extract<MakeEvent, { kind: "plan" }>): string {
  const { results, settings } = state;
  const { machine } = results;
  const rows = stageNames.map((name) => {
    const { seconds, writeTokens, variants, trainRows } = plan;
    const more: Partial<Record<(typeof stageNames)[number], string>> = {
      write: `up to ${count(writeTokens)} tokens at ${count(machine?.writeTokensPerSecond ?? 0)}/s`,
      settings: variants === 0 ? "there is no time for it" : `${variants} short trainings`,
      train: `about ${count(trainRows)} MASK rows at ${count(machine?.trainRowsPerSecond ?? 0)}/s`,
    };
    const isLeftOut = name === "settings" && variants === 0;
    const time = results[name] !== undefined ? "done" : `about ${duration(seconds[name])}`;
    return `  ${stageTitles[name].padEnd(34)} ${(isLeftOut ? "left out" : time).padEnd(16)} ${more[name] ?? ""}`.trimEnd();
  });
  const threads = machine?.threads === 1 ? "1 thread" : `${machine?.threads ?? 0} threads`;
  return [`${machine?.cpu ?? ""}, ${threads}: plan for ${settings.hours} h`, ...rows].join("\n");
}

/** With two digits: it is an estimate. */
function count(value: number): string {
  return Number(value.toPrecision(2)).toLocaleString("en-US");
}
