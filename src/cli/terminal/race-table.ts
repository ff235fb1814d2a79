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
  readonly steps: readonly Step[];
}

/** A forward of decoding: when its tokens came, since the first token, and how many they were. */
export interface Step {
  readonly endMs: number;
  readonly tokens: number;
}

/** A decoding method, with its laps in order. */
export interface Competitor<L extends Lap = Lap> {
  readonly name: "plain" | "proposing";
  readonly laps: L[];
}

/** Tokens per second after the prefill, which gives the first token and is the same for both. */
export function speedOf(lap: Pick<Lap, "tokens" | "decodeMs">): number {
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

/** Most forms of rounds that are named. */
const SHOWN_FORMS = 4;

/** The forms of a lap's rounds, most frequent first, one per line. */
export function roundLines(rounds: Lap["rounds"]): string[] {
  const shown = rounds.slice(0, SHOWN_FORMS).map(({ proposals, maskRows, rounds: n }): [number, string] => {
    if (proposals + maskRows === 0) return [n, "plain"];
    return [n, `${counted(proposals, "proposal")}, ${counted(maskRows, "MASK row")}`];
  });
  const others = rounds.slice(SHOWN_FORMS).reduce((sum, { rounds: n }) => sum + n, 0);
  const all = [...shown, ...(others > 0 ? [[others, "others"] as const] : [])];
  return all.map(([n, what]) => `${String(n).padStart(4)} × ${what}`);
}

const counted = (n: number, what: string) => `${n} ${what}${n === 1 ? "" : "s"}`;

/** The results of a race, in at most 80 columns. */
export function raceTable(plain: Competitor, proposing: Competitor): string {
  const [a, b] = [figures(plain), figures(proposing)];
  const ratio = a.tokensPerSecond > 0 ? b.tokensPerSecond / a.tokensPerSecond : 0;
  const overhead = ratio > 0 ? b.tokensPerForward / a.tokensPerForward / ratio : 0;
  const depths = b.acceptanceByDepth.map((share) => share.toFixed(2)).join(" / ");
  const isSame = sameBytes([plain, proposing]);
  const hashes = isSame ? [`SHA-256     ${a.sha256}`] : [`plain       ${a.sha256}`, `proposing   ${b.sha256}`];
  const [firstForm = "", ...otherForms] = roundLines(b.rounds);
  return [
    table([
      ["", "plain", "proposing", "ratio"],
      ["tokens/s (median)", a.tokensPerSecond.toFixed(1), b.tokensPerSecond.toFixed(1), `${ratio.toFixed(2)} x`],
      ["tokens", String(a.tokens), String(b.tokens), ""],
      ["forwards", String(a.forwards), String(b.forwards), ""],
      ["tokens per forward", a.tokensPerForward.toFixed(2), b.tokensPerForward.toFixed(2), ""],
      ["time per forward", "1.00", overhead.toFixed(2), ""],
    ]),
    `acceptance by depth  ${depths === "" ? "no proposals" : depths}\n`,
    `rounds chosen     ${firstForm}\n`,
    ...otherForms.map((form) => `${" ".repeat(18)}${form}\n`),
    "\n",
    `same bytes  ${isSame ? "yes" : "NO"}\n`,
    ...hashes.map((hash) => `${hash}\n`),
  ].join("");
}
