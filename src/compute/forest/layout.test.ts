import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fakeProgram } from "../../../test/support/fake-program.ts";
import { type Forest, PAGE_SIZE } from "./forest.ts";
import { layOutForest } from "./layout.ts";

const program = fakeProgram({ vocabSize: 10, nDepths: 3, nExtraHeads: 0 });

/** A random forest of token rows and MASK rows over some sequences, each with its own pages. */
const anyForest = fc
  .record({
    lengths: fc.array(fc.nat(40), { minLength: 1, maxLength: 3 }),
    rows: fc.array(fc.record({ pick: fc.nat(), isMask: fc.boolean(), sequence: fc.nat(), output: fc.boolean() }), {
      minLength: 1,
      maxLength: 25,
    }),
  })
  .map(({ lengths, rows }): Forest => {
    const perSequence = 6;
    const sequence: number[] = [];
    const parents: number[] = [];
    const tokens: number[] = [];
    const depths: number[] = [];
    for (const [row, { pick, isMask, sequence: wished }] of rows.entries()) {
      const own = wished % lengths.length;
      const possible = [-1, ...sequence.keys()].filter((above) => above < 0 || sequence[above] === own);
      const parent = possible[pick % possible.length] as number;
      const depth = (depths[parent] ?? 0) + 1;
      sequence.push(own);
      parents.push(parent);
      const becomesMask = isMask && depth <= 3;
      depths.push(becomesMask ? depth : 0);
      tokens.push(becomesMask ? -1 : row % 10);
    }
    return {
      sequences: lengths.map((length, s) => ({
        length,
        // Scattered and unordered.
        pages: Array.from({ length: perSequence }, (_, i) => (s * perSequence + i) * 5 + 3).reverse(),
      })),
      tokens: Int32Array.from(tokens),
      positions: Int32Array.from(tokens, (_, row) => row),
      parents: Int32Array.from(parents),
      gate: Uint8Array.from(tokens, (token) => (token < 0 ? 1 : 0)),
      sequence: Int32Array.from(sequence),
      needsOutput: Uint8Array.from(rows, ({ output }) => (output ? 1 : 0)),
    };
  });

describe("layOutForest", () => {
  it("puts token rows first, keeps their order, and lists what each row attends to", () => {
    fc.assert(
      fc.property(anyForest, (forest) => {
        const { tokens, parents, sequence, sequences, needsOutput } = forest;
        const layout = layOutForest(forest, program, 200);
        const rows = [...Array(layout.nRows).keys()];
        const order = rows.map((row) => layout.forestRow(row));
        const all = [...tokens.keys()];
        const isMask = (row: number) => tokens[row] === -1;
        expect(order).toEqual([...all.filter((row) => !isMask(row)), ...all.filter(isMask)]);
        expect(layout.nTokenRows).toBe(all.filter((row) => !isMask(row)).length);
        // Slots number a sequence's rows in the order of the forest.
        const slots = all.map((row) => {
          const own = sequence[row] as number;
          const before = all.filter((other) => other < row && sequence[other] === own).length;
          return (sequences[own]?.length ?? 0) + before;
        });
        const placeOf = (own: number, slot: number) =>
          ((sequences[own]?.pages[Math.floor(slot / PAGE_SIZE)] as number) ?? 0) * PAGE_SIZE + (slot % PAGE_SIZE);
        for (const row of rows) {
          const at = order[row] as number;
          const own = sequence[at] as number;
          expect(layout.of(row, "slot")).toBe(slots[at]);
          const ancestors: number[] = [];
          for (let above = at; above >= 0; above = parents[above] as number) ancestors.unshift(above);
          const cached = Array.from({ length: sequences[own]?.length ?? 0 }, (_, i) => i);
          const seen = [...cached, ...ancestors.map((ancestor) => slots[ancestor] as number)];
          expect(layout.visible(row)).toEqual(seen.map((slot) => placeOf(own, slot)));
          // A run of MASK rows ends at the first token above it.
          const run = ancestors.slice(ancestors.findLastIndex((ancestor) => !isMask(ancestor)) + 1);
          expect(layout.of(row, "depth")).toBe(run.length);
          const anchor = ancestors.at(-run.length - 1) ?? -1;
          expect(layout.of(row, "anchor")).toBe(isMask(at) && anchor >= 0 ? order.indexOf(anchor) : -1);
        }
        const outputs = [...layout.outputs].map((row) => order[row] as number);
        expect(outputs).toEqual(order.filter((row) => needsOutput[row] === 1));
        expect(layout.nTokenOutputs).toBe(outputs.filter((row) => !isMask(row)).length);
        for (const row of all) expect(layout.outputOf(row)).toBe(outputs.indexOf(row));
      }),
    );
  });

  it("rejects a forest with too many listed ancestors", () => {
    // Two chains of one sequence with alternating rows: no row of the second one follows its parent in the cache.
    const n = 1 << 14;
    const forest: Forest = {
      sequences: [{ length: 0, pages: Array.from({ length: n / PAGE_SIZE }, (_, i) => i) }],
      tokens: new Int32Array(n),
      positions: new Int32Array(n),
      parents: Int32Array.from({ length: n }, (_, row) => Math.max(-1, row - 2)),
      gate: new Uint8Array(n),
      sequence: new Int32Array(n),
      needsOutput: new Uint8Array(n),
    };
    expect(() => layOutForest(forest, program, n / PAGE_SIZE)).toThrow(/more than 16777216 ancestors/);
  });
});
