import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { collect } from "../terminal/collect-io.ts";

const model = fileURLToPath(new URL("../../../test/fixtures/gguf/tiny64-F16.gguf", import.meta.url));

it("idlm bench model shows a model's forwards below the two roofs of the machine", async () => {
  const argv = ["bench", "model", model, "--measure", "roofs", "--rounds", "1", "--threads", "2"];
  const { status, stdout } = await collect([...argv, "--json"]);
  expect(status).toBe(0);
  const { roofs } = JSON.parse(stdout);
  expect(roofs).toMatchObject({ threads: 2, siblings: { measured: expect.any(Boolean) } });
  for (const { bandwidthGBs, productsPerSecond } of [roofs, roofs.oneThread]) {
    expect(bandwidthGBs).toBeGreaterThan(0);
    expect(productsPerSecond).toBeGreaterThan(0);
  }
  const { rows, speedUps, bytesPerForward, productsPerRow } = roofs.model;
  expect(rows.map((row: { rows: number }) => row.rows)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32]);
  for (const { rows: n, ms, roofMs, readMs, computeMs, shareOfRoof } of rows) {
    expect(readMs).toBeCloseTo(bytesPerForward / roofs.bandwidthGBs / 1e6);
    expect(computeMs).toBeCloseTo((1000 * n * productsPerRow) / roofs.productsPerSecond);
    expect(roofMs).toBe(Math.max(readMs, computeMs));
    expect(shareOfRoof * ms).toBeCloseTo(roofMs);
  }
  for (const { rows: n, tokensPerForward, measured } of speedUps) {
    const over = rows.find((row: { rows: number }) => row.rows === n).overOneRow;
    expect(measured).toBeCloseTo(tokensPerForward / over);
  }
  const text = await collect(argv);
  expect(text.stdout).toMatch(/^read bandwidth: [\d.]+ GB\/s with 2 threads, [\d.]+ GB\/s with one$/m);
  expect(text.stdout).toMatch(/^rows +read ms +products ms +measured ms +of roof +over one row +by roofs$/m);
  expect(text.stdout).toMatch(/^rows +1\.25 tokens +1\.5 tokens +2 tokens +3 tokens +4 tokens +8 tokens$/m);
  expect(text.stdout).toMatch(/^32 +\d/m);
});
