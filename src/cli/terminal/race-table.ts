import { median } from "../../bench/statistics.ts";
import { table } from "./style.ts";

/** One generation of a race: a part of GenerationResult. */
export interface Lap {
  readonly text: string;
  readonly tokens: readonly number[] | Int32Array;
  readonly sha256: string;
  readonly forwards: number;
  readonly tokensPerForward: number;
  readonly acceptanceByDepth: readonly number[];
  readonly rounds: readonly { readonly proposals: number; readonly maskRows: number; readonly rounds: number }[];
  readonly prefillMs: number;
  readonly decodeMs: number;
}

/** A decoding method, with its laps in order. */
export interface Competitor<L extends Lap = Lap> {
  readonly name: "plain" | "proposing";
  readonly laps: L[];
}

/** Tokens per second after the prefill, which gives the first token and is the same for both. */
export function speedOf(lap: Lap): number {
  return lap.tokens.length < 2 || lap.decodeMs <= 0 ? 0 : ((lap.tokens.length - 1) / lap.decodeMs) * 1000;
}

/** Results of a competitor: median speed, and other values from the last lap (the output is the same in all laps). */
export function figures({ laps }: Competitor) {
  const last = laps.at(-1);
  const speeds = laps.map(speedOf);
  return {
    tokensPerSecond: median(speeds),
    tokensPerSecondByRound: speeds,
    prefillMs: median(laps.map((lap) => lap.prefillMs)),
    tokens: last?.tokens.length ?? 0,
    forwards: last?.forwards ?? 0,
    tokensPerForward: last?.tokensPerForward ?? 0,
    acceptanceByDepth: last?.acceptanceByDepth ?? [],
    rounds: last?.rounds ?? [],
    sha256: last?.sha256 ?? "",
  };
}

/** Whether all laps of all competitors gave the same text and tokens. */
export function sameBytes(competitors: readonly Competitor[]): boolean {
  const laps = competitors.flatMap((competitor) => competitor.laps);
  const first = laps[0];
  return laps.every((lap) => lap.sha256 === first?.sha256 && lap.tokens.join() === first.tokens.join());
}

/** Most forms of rounds that a line names. */
const SHOWN_FORMS = 4;

/** The shapes of a lap's rounds, most frequent first. */
export function roundsText(rounds: Lap["rounds"]): string {
  const shown = rounds.slice(0, SHOWN_FORMS).map(({ proposals, maskRows, rounds: n }) => {
    if (proposals + maskRows === 0) return `${n} plain`;
    return `${n} of ${proposals} proposal${proposals === 1 ? "" : "s"} and ${maskRows} MASK row${maskRows === 1 ? "" : "s"}`;
  });
  const others = rounds.slice(SHOWN_FORMS).reduce((sum, { rounds: n }) => sum + n, 0);
  return [...shown, ...(others > 0 ? [`${others} others`] : [])].join(", ");
}

/** The results of a race. */
export function raceTable(plain: Competitor, proposing: Competitor): string {
  const [a, b] = [figures(plain), figures(proposing)];
  const ratio = a.tokensPerSecond > 0 ? b.tokensPerSecond / a.tokensPerSecond : 0;
  const depths = b.acceptanceByDepth.map((share) => share.toFixed(2)).join(" / ");
  return [
    table([
      ["", "plain", "proposing", "ratio"],
      ["tokens/s (median)", a.tokensPerSecond.toFixed(1), b.tokensPerSecond.toFixed(1), `${ratio.toFixed(2)} x`],
      ["tokens", String(a.tokens), String(b.tokens), ""],
      ["forwards", String(a.forwards), String(b.forwards), ""],
      ["tokens per forward", a.tokensPerForward.toFixed(2), b.tokensPerForward.toFixed(2), ""],
    ]),
    `acceptance by depth  ${depths === "" ? "no proposals" : depths}\n`,
    `rounds chosen        ${roundsText(b.rounds)}\n`,
    `SHA-256 plain        ${a.sha256}\n`,
    `SHA-256 proposing    ${b.sha256}\n`,
    `same bytes           ${sameBytes([plain, proposing]) ? "yes" : "NO"}\n`,
  ].join("");
}
