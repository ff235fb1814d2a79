import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { supportedInstructionSets } from "../../compute/native/index.ts";
import { collect } from "../terminal/collect-io.ts";

const fixtures = fileURLToPath(new URL("../../../test/fixtures/", import.meta.url));

it("idlm doctor reports machine, rows and rounds as JSON and as a table", async () => {
  const argv = [
    "doctor",
    `${fixtures}models/llama-tiny`,
    "--adapter",
    `${fixtures}idlm/llama-tiny-entry1`,
    "--threads",
    "1",
  ];
  const { status, stdout, stderr } = await collect([...argv, "--json"]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  const { native, model } = JSON.parse(stdout);
  expect(native).toMatchObject({ instructionSets: supportedInstructionSets(), threads: 1 });
  expect(native.instructionSets).toContain(native.instructionSet);
  expect(native.bandwidthGBs).toBeGreaterThan(0);
  expect(native.productsPerSecond).toBeGreaterThan(0);
  // With one thread both are the same measurement, and nothing can be a sibling of it.
  expect(native.oneThread).toEqual({ bandwidthGBs: native.bandwidthGBs, productsPerSecond: native.productsPerSecond });
  expect(native.siblings.measured).toBeUndefined();
  expect(model.rows.map((row: { rows: number }) => row.rows)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32]);
  expect(model.rows[0]).toMatchObject({ overOneRow: 1, roofOverOneRow: 1 });
  // The adapter does not count: a plain forward does not read it.
  const plain = JSON.parse(
    (await collect(["doctor", `${fixtures}models/llama-tiny`, "--threads", "1", "--json"])).stdout,
  );
  expect(plain.model.strides).toEqual([]);
  for (const key of ["bytesPerForward", "productsPerRow"]) expect(model[key]).toBe(plain.model[key]);
  // The adapter has three depths: strides up to 4, with 2 · stride − 1 rows.
  expect(model.strides.map(({ stride, rows }: { stride: number; rows: number }) => [stride, rows])).toEqual([
    [2, 3],
    [3, 5],
    [4, 7],
  ]);
  const [{ overhead, bestSpeedUp }] = model.strides;
  expect(bestSpeedUp * overhead).toBeCloseTo(2);
  const text = await collect(argv);
  expect(text.stdout).toMatch(/^read bandwidth +\d+\.\d GB\/s$/m);
  expect(text.stdout).toMatch(/^arithmetic peak +\d+ billion 8-bit products\/s$/m);
  expect(text.stdout).toMatch(/^rows +read ms +products ms +measured ms +of roof +over one row +by roofs$/m);
  expect(text.stdout).toMatch(/^stride +rows +ms +overhead +at best$/m);
});

it("idlm doctor rejects a missing model", async () => {
  const result = await collect(["doctor", "none.gguf"]);
  expect(result).toMatchObject({ status: 3, stdout: "" });
  expect(result.stderr).toContain("none.gguf: no such file");
});
