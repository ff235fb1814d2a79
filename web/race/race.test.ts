import { describe, expect, it } from "vitest";
import type { WireChunk } from "../api/wire.ts";
import { differenceOf } from "./difference.ts";
import {
  addChunk,
  decodeMsOf,
  finishLap,
  newRace,
  outcomeOf,
  type Race,
  sha256,
  startLap,
  stopRace,
  tokensAt,
} from "./race.ts";

/** Chunks of an answer: the prefill with the first word, then words in groups of `perForward`, `ms` each. */
async function chunksOf(words: readonly string[], perForward: number, ms: number): Promise<WireChunk[]> {
  const groups = [words.slice(0, 1)];
  for (let i = 1; i < words.length; i += perForward) groups.push(words.slice(i, i + perForward));
  const chunks = groups.map((group, at): WireChunk => {
    const tokens = group.map((text, i) => ({
      id: words.indexOf(text),
      text,
      source: i < group.length - 1 ? "mask" : "drawn",
      depth: 0,
    }));
    const round = { forward: at + 1, ms: at === 0 ? 100 : ms, rows: perForward, proposals: [], tokens };
    return { choices: [{ delta: { content: group.join("") } }], idlm: { round } };
  });
  const decodeMs = ms * (groups.length - 1);
  const text = (await sha256(words.join(""))) ?? "";
  const result = {
    sha256: text,
    forwards: groups.length,
    tokensPerForward: 0,
    prefillMs: 100,
    decodeMs,
    lossless: true,
  };
  return [...chunks, { choices: [], idlm: { result } }];
}

async function runLap(race: Race, chunks: readonly WireChunk[]): Promise<Race> {
  const started = startLap(race);
  if (started === undefined) throw new Error("no lap left");
  const ended = chunks.reduce((state, chunk, i) => addChunk(state, chunk, 1000 + i), started);
  return finishLap(ended, await sha256(ended.laps.at(-1)?.text ?? ""));
}

const words = ["It", " is", " a", " place", " with", " many", " trees"];

describe("a race", () => {
  it("runs by turns, the order alternating", () => {
    expect(newRace(2).order).toEqual(["plain", "proposing", "proposing", "plain"]);
  });

  it("compares bytes and decode time, and says why it is faster", async () => {
    let race = await runLap(newRace(1), await chunksOf(words, 1, 10));
    expect(outcomeOf(race)).toBeUndefined();
    expect(race.status).toBe("running");
    race = await runLap(race, await chunksOf(words, 2, 12));
    expect(race.status).toBe("done");
    expect(startLap(race)).toBeUndefined();
    expect(race.laps.map(decodeMsOf)).toEqual([60, 36]);
    expect(outcomeOf(race)).toMatchObject({ sameBytes: true, lossless: true, tokensPerForward: 2 });
    expect(outcomeOf(race)?.speedUp).toBeCloseTo(60 / 36);
    expect(outcomeOf(race)?.overhead).toBeCloseTo(1.2);
  });

  it("does not call other bytes the same, and does not trust the server's hash alone", async () => {
    const plain = await runLap(newRace(1), await chunksOf(words, 1, 10));
    const other = await chunksOf([...words.slice(0, -1), " birds"], 2, 10);
    expect(outcomeOf(await runLap(plain, other))?.sameBytes).toBe(false);
    const claimed = plain.laps[0]?.result?.sha256 ?? "";
    const lying = other.map((chunk) =>
      chunk.idlm?.result ? { ...chunk, idlm: { result: { ...chunk.idlm.result, sha256: claimed } } } : chunk,
    );
    expect(outcomeOf(await runLap(plain, lying))?.sameBytes).toBe(false);
  });

  it("begins a lap again whose connection broke", async () => {
    const first = await runLap(newRace(1), await chunksOf(words, 1, 10));
    const broken = addChunk(startLap(first) ?? first, (await chunksOf(words, 2, 12))[0] ?? {}, 0);
    expect(broken.laps).toHaveLength(2);
    const again = startLap(broken);
    expect(again?.laps.map(({ side, text }) => [side, text])).toEqual([
      ["plain", words.join("")],
      ["proposing", ""],
    ]);
    expect(stopRace(broken, "gone")).toMatchObject({ status: "stopped", problem: "gone" });
  });

  it("knows how far a lap was at a time", async () => {
    const race = await runLap(newRace(1), await chunksOf(words, 2, 10));
    const [lap] = race.laps;
    if (lap === undefined) throw new Error("no lap");
    expect([0, 9, 10, 25, 30, 99].map((ms) => tokensAt(lap, ms))).toEqual([1, 1, 3, 5, 7, 7]);
  });
});

describe("differenceOf", () => {
  it("cuts two texts where they part", () => {
    expect(differenceOf("a tree 🌲.", "a tree 🌳!")).toEqual({ common: "a tree ", left: "🌲.", right: "🌳!" });
    expect(differenceOf("same", "same")).toEqual({ common: "same", left: "", right: "" });
    expect(differenceOf("ab", "a")).toEqual({ common: "a", left: "b", right: "" });
  });
});

describe("sha256", () => {
  it("is that of the text in UTF-8", async () => {
    expect(await sha256("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  });
});
