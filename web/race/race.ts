import type { WireChunk, WireResult, WireRound } from "../api/wire.ts";
import { isPrefill } from "../rounds/statistics.ts";

export type Side = "plain" | "proposing";

/** One generation of a race. */
export interface Lap {
  readonly side: Side;
  readonly text: string;
  readonly rounds: readonly WireRound[];
  readonly tokenIds: readonly number[];
  readonly result: WireResult | undefined;
  /** Of the text as it arrived, computed here; undefined where the browser cannot (no secure context). */
  readonly ownSha256: string | undefined;
  /** When the first token arrived, in milliseconds of the page's clock. */
  readonly startedAt: number | undefined;
  readonly isFinished: boolean;
}

/** ready: not started; done: all laps ran; stopped: by the user or an error, which `problem` says. */
export interface Race {
  readonly status: "ready" | "running" | "done" | "stopped";
  /** The sides in the order in which they run. One at a time: the machine is the same for both. */
  readonly order: readonly Side[];
  /** Those that have begun, in that order. */
  readonly laps: readonly Lap[];
  readonly problem: string | undefined;
}

/** The order alternates from round to round, so that a machine that changes speed favours neither. */
export function newRace(rounds: number): Race {
  const order = Array.from({ length: rounds }, (_, i): Side[] =>
    i % 2 === 0 ? ["plain", "proposing"] : ["proposing", "plain"],
  ).flat();
  return { status: "ready", order, laps: [], problem: undefined };
}

/** The next lap begins; undefined if all have run. A lap that was not finished (the connection broke) begins again. */
export function startLap(race: Race): Race | undefined {
  const finished = race.laps.filter(({ isFinished }) => isFinished);
  const side = race.order[finished.length];
  if (side === undefined) return undefined;
  const lap: Lap = {
    ...{ side, text: "", rounds: [], tokenIds: [], result: undefined, ownSha256: undefined },
    ...{ startedAt: undefined, isFinished: false },
  };
  return { ...race, status: "running", laps: [...finished, lap] };
}

/** A chunk of the running lap has arrived at time `now`. */
export function addChunk(race: Race, { choices, idlm }: WireChunk, now: number): Race {
  return withLap(race, (lap) => {
    const { round, result } = idlm ?? {};
    return {
      ...lap,
      text: lap.text + (choices?.[0]?.delta?.content ?? ""),
      rounds: round ? [...lap.rounds, round] : lap.rounds,
      tokenIds: round ? [...lap.tokenIds, ...round.tokens.map(({ id }) => id)] : lap.tokenIds,
      result: result ?? lap.result,
      startedAt: lap.startedAt ?? (round ? now : undefined),
    };
  });
}

export function finishLap(race: Race, ownSha256: string | undefined): Race {
  const next = withLap(race, (lap) => ({ ...lap, ownSha256, isFinished: true }));
  return next.laps.length === next.order.length ? { ...next, status: "done" } : next;
}

export function stopRace(race: Race, problem?: string): Race {
  return { ...race, status: "stopped", problem };
}

function withLap(race: Race, change: (lap: Lap) => Lap): Race {
  const last = race.laps.at(-1);
  return last === undefined ? race : { ...race, laps: [...race.laps.slice(0, -1), change(last)] };
}

/** Decode time in milliseconds: the server's once it has finished, else the sum of its rounds so far. */
export function decodeMsOf({ result, rounds }: Lap): number {
  return result?.decodeMs ?? rounds.reduce((sum, round) => sum + (isPrefill(round) ? 0 : round.ms), 0);
}

/** Tokens per second after the prefill, which draws the first token and is no part of the race. */
export function speedOf(lap: Lap): number {
  const ms = decodeMsOf(lap);
  return ms > 0 && lap.tokenIds.length > 1 ? ((lap.tokenIds.length - 1) / ms) * 1000 : 0;
}

/** The race so far from the point of view of its outcome. */
export interface Outcome {
  readonly sameBytes: boolean;
  /** Median of the laps' tokens per second. */
  readonly speeds: Readonly<Record<Side, number>>;
  /** speeds.proposing / speeds.plain */
  readonly speedUp: number;
  readonly tokensPerForward: number;
  /** Time of a forward with proposals over that of a plain one: speedUp = tokensPerForward / overhead. */
  readonly overhead: number;
  readonly lossless: boolean;
}

/** Undefined until both sides have finished a lap. */
export function outcomeOf(race: Race): Outcome | undefined {
  const finished = race.laps.filter(({ isFinished }) => isFinished);
  const of = (side: Side) => finished.filter((lap) => lap.side === side);
  const [first] = of("plain");
  const last = of("proposing").at(-1);
  if (first === undefined || last === undefined) return undefined;
  const speeds = { plain: median(of("plain").map(speedOf)), proposing: median(of("proposing").map(speedOf)) };
  const speedUp = speeds.plain > 0 ? speeds.proposing / speeds.plain : 0;
  const decoding = last.rounds.filter((round) => !isPrefill(round));
  const tokens = decoding.reduce((sum, round) => sum + round.tokens.length, 0);
  const tokensPerForward = decoding.length > 0 ? tokens / decoding.length : 1;
  const hashes = finished.flatMap((lap) => [lap.result?.sha256, lap.ownSha256].filter((hash) => hash !== undefined));
  return {
    ...{ speeds, speedUp, tokensPerForward },
    overhead: speedUp > 0 ? tokensPerForward / speedUp : 0,
    sameBytes: new Set(hashes).size === 1 && finished.every((lap) => lap.text === first.text),
    lossless: finished.every(({ result }) => result?.lossless !== false),
  };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/** How many tokens a lap had after so many milliseconds of decoding: both sides are shown side by side afterwards. */
export function tokensAt(lap: Lap, decodeMs: number): number {
  let [tokens, ms] = [0, 0];
  for (const round of lap.rounds) {
    if (!isPrefill(round)) ms += round.ms;
    if (ms > decodeMs) break;
    tokens += round.tokens.length;
  }
  return tokens;
}

/** SHA-256 of a text in hexadecimal; undefined where the browser has no cryptography (plain HTTP from another machine). */
export async function sha256(text: string): Promise<string | undefined> {
  const subtle = (globalThis.crypto as Partial<Crypto> | undefined)?.subtle;
  if (subtle === undefined) return undefined;
  const hash = await subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
