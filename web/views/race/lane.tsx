import { decodeMsOf, type Lap, type Race, type Side, speedOf, tokensAt } from "../../race/race.ts";
import { isPrefill } from "../../rounds/statistics.ts";
import { Canvas, type Draw } from "../rounds/canvas.tsx";

const names: Readonly<Record<Side, string>> = { plain: "Plain decoding", proposing: "With proposals" };

interface LaneProps {
  readonly side: Side;
  readonly race: Race;
  /** Of all laps: the time that the whole width of a track stands for. */
  readonly longestMs: number;
  /** While both are shown side by side: the time since their start. */
  readonly replayMs: number | undefined;
}

/** One side of the race: its clock, its track with one segment per forward, its text and hash. */
export function Lane({ side, race, longestMs, replayMs }: LaneProps) {
  const lap = race.laps.findLast((one) => one.side === side);
  const isRunning = race.status === "running" && lap !== undefined && lap === race.laps.at(-1) && !lap.isFinished;
  const shownMs = lap === undefined ? 0 : Math.min(replayMs ?? Number.POSITIVE_INFINITY, decodeMsOf(lap));
  const shownTokens = lap === undefined ? 0 : replayMs === undefined ? lap.tokenIds.length : tokensAt(lap, replayMs);
  const state =
    lap === undefined
      ? race.status === "running"
        ? "waits for its turn"
        : ""
      : isRunning
        ? "runs"
        : lap.isFinished
          ? ended(race, side)
          : "stopped";
  const hash = lap?.result?.sha256;
  return (
    <section class={`lane ${isRunning ? "active" : ""}`} aria-label={names[side]}>
      <div class="row">
        <h3>{names[side]}</h3>
        <span class="muted">{state}</span>
      </div>
      <dl class="figures">
        <div>
          <dt>decoding</dt>
          <dd class="clock">{(shownMs / 1000).toFixed(2)} s</dd>
        </div>
        <div>
          <dt>tokens</dt>
          <dd>{shownTokens}</dd>
        </div>
        <div>
          <dt>tokens/s</dt>
          <dd>{lap === undefined ? "–" : speedOf(lap).toFixed(0)}</dd>
        </div>
        <div>
          <dt>forwards</dt>
          <dd>{lap?.rounds.length ?? "–"}</dd>
        </div>
      </dl>
      <Canvas height={26} draw={trackOf(lap, longestMs, shownMs)} />
      <p class="muted small">
        one segment per forward, as long as it took: grey one token, green two, blue three, violet more
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, which the keyboard has to reach */}
      <section class="lane-text" tabIndex={0} aria-label={`Text: ${names[side]}`}>
        {lap?.text}
      </section>
      {hash !== undefined && (
        <p class="hash">
          SHA-256 <code>{hash}</code>
          {lap?.ownSha256 !== undefined && (
            <span class={lap.ownSha256 === hash ? "muted" : "problem"}>
              {lap.ownSha256 === hash ? " (computed here, too)" : " – but the text that arrived has another one"}
            </span>
          )}
        </p>
      )}
    </section>
  );
}

/** Of several runs the last one is shown. */
function ended({ order, laps }: Race, side: Side): string {
  const nRuns = order.length / 2;
  return nRuns === 1 ? "finished" : `run ${laps.filter((lap) => lap.side === side).length} of ${nRuns} finished`;
}

function trackOf(lap: Lap | undefined, longestMs: number, shownMs: number): Draw {
  return (context, width, height, colour) => {
    context.fillStyle = colour("line");
    context.fillRect(0, 0, width, height);
    let ms = 0;
    for (const round of lap?.rounds ?? []) {
      if (isPrefill(round)) continue;
      const x = (ms / longestMs) * width;
      ms += round.ms;
      if (ms > shownMs + 1e-6) break;
      context.fillStyle = colour(
        round.tokens.length === 1 ? "source-drawn" : `source-mask-${Math.min(3, round.tokens.length - 1)}`,
      );
      context.fillRect(
        x,
        0,
        Math.max(0.5, (ms / longestMs) * width - x - (width > 4 * (lap?.rounds.length ?? 0) ? 1 : 0)),
        height,
      );
    }
  };
}
