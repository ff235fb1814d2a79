import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compileProgram } from "../model/compile.ts";
import { openModel } from "../model/open/open-model.ts";
import { createNativeBackend } from "../compute/native/index.ts";
import { belowRoofs, forwardWork, roofsMeetAtRows, roofTimes, speedUps } from "./roofs.ts";

const roofs = { bandwidthGBs: 40, productsPerSecond: 2e12 };
/** 2 ms to read, 0.1 ms per row to multiply. */
const work = { bytesPerForward: 80e6, productsPerRow: 200e6 };

const anyMachine = fc.record({
  bandwidthGBs: fc.double({ min: 0.5, max: 2000, noNaN: true }),
  productsPerSecond: fc.double({ min: 1e9, max: 1e15, noNaN: true }),
});
const anyWork = fc.record({
  bytesPerForward: fc.double({ min: 1e4, max: 1e12, noNaN: true }),
  productsPerRow: fc.double({ min: 1e4, max: 1e12, noNaN: true }),
});

describe("roofs of a forward", () => {
  it("reads the weights once and multiplies them once per row", () => {
    expect(roofTimes(roofs, work, 1)).toEqual({ readMs: 2, computeMs: 0.1, roofMs: 2 });
    expect(roofTimes(roofs, work, 32)).toEqual({ readMs: 2, computeMs: 3.2, roofMs: 3.2 });
    expect(roofsMeetAtRows(roofs, work)).toBe(20);
  });

  it("compares measured times with them", () => {
    const times = [
      { rows: 1, ms: 2.5, overOneRow: 1 },
      { rows: 32, ms: 5, overOneRow: 2 },
    ];
    expect(belowRoofs(roofs, work, times)).toEqual([
      { ...times[0], readMs: 2, computeMs: 0.1, roofMs: 2, shareOfRoof: 0.8, roofOverOneRow: 1 },
      { ...times[1], readMs: 2, computeMs: 3.2, roofMs: 3.2, shareOfRoof: 0.64, roofOverOneRow: 1.6 },
    ]);
  });

  it("says how fast so many tokens per forward are, never more tokens than rows", () => {
    const times = [1, 2, 4, 32].map((rows) => ({ rows, ms: 2, overOneRow: rows === 32 ? 2 : 1 }));
    const found = speedUps(belowRoofs(roofs, work, times));
    expect(found.filter(({ rows }) => rows === 2)).toEqual([
      { tokensPerForward: 1.25, rows: 2, measured: 1.25, byRoofs: 1.25 },
      { tokensPerForward: 1.5, rows: 2, measured: 1.5, byRoofs: 1.5 },
      { tokensPerForward: 2, rows: 2, measured: 2, byRoofs: 2 },
    ]);
    expect(found).toContainEqual({ tokensPerForward: 8, rows: 32, measured: 4, byRoofs: 5 });
    expect(found.filter(({ rows, tokensPerForward }) => tokensPerForward > rows)).toEqual([]);
  });

  it("is flat up to where the roofs meet, and then rises with the rows", () => {
    fc.assert(
      fc.property(anyMachine, anyWork, fc.integer({ min: 1, max: 1000 }), (machine, model, rows) => {
        const corner = roofsMeetAtRows(machine, model);
        const { readMs, computeMs, roofMs } = roofTimes(machine, model, rows);
        expect(roofMs).toBe(rows < corner * (1 - 1e-9) ? readMs : Math.max(readMs, computeMs));
        if (rows > corner * (1 + 1e-9)) expect(roofMs).toBe(computeMs);
      }),
    );
  });

  it("of a model counts packed weights and all matrices, and one row of an untied embedding", async () => {
    const backend = createNativeBackend({ threads: 1 });
    for (const [file, isTied] of [
      ["tiny64-F16.gguf", false],
      ["tiny-qwen2-Q8_0.gguf", true],
    ] as const) {
      const opened = openModel(new URL(`../../test/fixtures/gguf/${file}`, import.meta.url).pathname, "gguf");
      const program = compileProgram(opened);
      const model = await backend.load(program);
      opened.close();
      const { bytesPerForward, productsPerRow } = forwardWork(model);
      const all = Object.values(program.parameters)
        .filter(({ rows }) => rows > 1)
        .reduce((sum, { rows, cols }) => sum + rows * cols, 0);
      const { vocabSize, hiddenSize } = opened.config;
      const embedding = vocabSize * hiddenSize;
      expect({ file, isTied: productsPerRow === all }).toEqual({ file, isTied });
      if (!isTied) {
        expect(productsPerRow).toBe(all - embedding);
        expect(bytesPerForward).toBe(model.weightBytes - 2 * embedding);
      } else expect(bytesPerForward).toBe(model.weightBytes);
      model.dispose();
    }
  });
});
