import { expect, it } from "vitest";
import { measuredMachine } from "../../../test/support/measured-machine.ts";
import type { WireNative } from "../../api/wire-machine.ts";
import { chartWords, machineWords, roofWords, speedUpTable } from "./machine-words.ts";

const { figures } = measuredMachine;
const { native, model } = figures;
if (native === undefined || model === undefined) throw new Error("the made-up machine has neither");

it("says what the machine is, and whether its threads share a core", () => {
  const words = (changes: Partial<WireNative>) => machineWords({ ...figures, native: { ...native, ...changes } });
  expect(words({})).toBe("Made-up CPU, 2 cores; 2 threads on cores of their own, avx2.");
  expect(words({ threads: 1, siblings: {} })).toBe("Made-up CPU, 2 cores; 1 thread, avx2.");
  expect(words({ siblings: { reported: true, measured: false } })).toContain("2 threads, of which some share a core");
  expect(words({ siblings: { reported: false, measured: true } })).toContain("as if they shared a core");
  expect(machineWords({ cpu: "Other CPU", cores: 1 })).toBe(
    "Other CPU, 1 core, without the native backend: nothing was measured.",
  );
});

it("says where the roofs meet, and what that means", () => {
  expect(roofWords(model)).toMatch(/reads 80 MB of weights, .* 200 million products per row\. .* at 20\.0 rows/);
  expect(chartWords(model)).toBe(
    "Time of forwards by number of rows: 2.65 ms with 1 row, 7.30 ms with 32 rows. The roofs meet at 20.0 rows.",
  );
  expect(chartWords({ ...model, rows: [] })).toBe("No forwards were timed.");
});

it("has a cell for every number of tokens that so many rows can yield", () => {
  const { tokens, lines } = speedUpTable(model.speedUps);
  expect(tokens).toEqual([1.25, 1.5, 2, 3, 4, 8]);
  expect(lines.map(({ rows }) => rows)).toEqual([2, 3, 4, 6, 8, 16, 32]);
  for (const { rows, cells } of lines) {
    expect(cells.map((cell) => cell !== undefined)).toEqual(tokens.map((count) => count <= rows));
  }
});
