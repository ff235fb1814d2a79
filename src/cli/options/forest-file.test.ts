import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { checkVocabulary, forestOf, readForestFile } from "./forest-file.ts";

const folder = mkdtempSync(join(tmpdir(), "idlm-forest-"));
afterAll(() => rmSync(folder, { recursive: true }));

function read(content: unknown) {
  const path = join(folder, "forest.json");
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return readForestFile(path);
}

const good = { tokens: [5, 6, -1], positions: [0, 1, 2], parents: [-1, 0, 1], gate: [0, 0, 1] };

describe("readForestFile", () => {
  it("reads the fixtures' shape and ignores other keys", () => {
    const file = read({ ...good, noise: 1e-6, sensitivity: {} });
    expect([...file.tokens]).toEqual([5, 6, -1]);
    expect([...file.gate]).toEqual([0, 0, 1]);
    expect(file.previous).toBeUndefined();
    expect([...(read({ ...good, previous: [-1, -1, 6] }).previous ?? [])]).toEqual([-1, -1, 6]);
  });

  it.each([
    ["not JSON", "{", "content: expected JSON"],
    ["an array", [], "expected a JSON object, found an array"],
    ["no gate", { ...good, gate: undefined }, "gate: expected an array of numbers, found nothing"],
    ["no rows", { tokens: [], positions: [], parents: [], gate: [] }, "tokens: expected 1 to 65536 numbers, found 0"],
    ["lengths differ", { ...good, parents: [-1, 0] }, "parents: expected 3 numbers, as many as tokens, found 2"],
    [
      "a parent that comes later",
      { ...good, parents: [-1, 2, 1] },
      "parents[1]: expected a whole number from -1 to 0, found 2",
    ],
    [
      "a row that is its own parent",
      { ...good, parents: [0, 0, 1] },
      "parents[0]: expected a whole number from -1 to -1",
    ],
    ["a token below -1", { ...good, tokens: [5, -2, -1] }, "tokens[1]"],
    ["half a token", { ...good, tokens: [5, 1.5, -1] }, "tokens[1]"],
    ["a token beyond 32 bits", { ...good, tokens: [5, 2 ** 32, -1] }, "tokens[1]"],
    [
      "a token as text",
      { ...good, tokens: [5, "6", -1] },
      'tokens[1]: expected a whole number from -1 to 2147483647, found "6"',
    ],
    ["a gate of 2", { ...good, gate: [0, 0, 2] }, "gate[2]: expected a whole number from 0 to 1, found 2"],
    ["a negative position", { ...good, positions: [0, -1, 2] }, "positions[1]"],
  ])("refuses %s", (_, content, message) => {
    expect(() => read(content)).toThrow(message);
  });

  it("rejects ids outside of the vocabulary", () => {
    const file = read({ ...good, previous: [-1, -1, 320] });
    expect(() => checkVocabulary("f.json", file, 321)).not.toThrow();
    expect(() => checkVocabulary("f.json", file, 320)).toThrow(
      "previous[2]: expected an id below the vocabulary's 320, found 320",
    );
    expect(() => checkVocabulary("f.json", file, 6)).toThrow("tokens[1]");
  });
});

describe("forestOf", () => {
  it("gives each root a sequence with its own pages, and every row the sequence of its root", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { minLength: 1, maxLength: 60 }), (draws) => {
        const parents = Int32Array.from(draws.map((draw, row) => (draw % (row + 1)) - 1));
        const n = parents.length;
        const { forest, nPages } = forestOf({
          tokens: new Int32Array(n),
          positions: new Int32Array(n),
          parents,
          gate: new Uint8Array(n),
        });
        const pages = forest.sequences.flatMap((sequence) => [...sequence.pages]);
        expect(new Set(pages).size).toBe(nPages);
        expect([...pages].sort((a, b) => a - b)).toEqual([...Array(nPages).keys()]);
        const owners = new Set<number>();
        parents.forEach((parent, row) => {
          const owner = forest.sequence[row] ?? -1;
          if (parent < 0) expect(owners.has(owner)).toBe(false);
          else expect(owner).toBe(forest.sequence[parent]);
          owners.add(owner);
        });
        forest.sequences.forEach((sequence, i) => {
          const rows = forest.sequence.filter((owner) => owner === i).length;
          expect(rows).toBeGreaterThan(0);
          expect(sequence.pages.length).toBe(Math.ceil(rows / 16));
        });
      }),
    );
  });

  it("splits the interleaved batch of the fixtures into two sequences", () => {
    const path = new URL("../../../test/fixtures/gated/llama-tiny/forests.json", import.meta.url);
    const file = JSON.parse(readFileSync(path, "utf8"))["batch-interleaved"];
    const { forest } = forestOf({
      tokens: Int32Array.from(file.tokens),
      positions: Int32Array.from(file.positions),
      parents: Int32Array.from(file.parents),
      gate: Uint8Array.from(file.gate),
    });
    expect(forest.sequences.length).toBe(2);
    expect([...forest.sequence.slice(0, 4)]).toEqual([0, 1, 0, 1]);
  });
});
