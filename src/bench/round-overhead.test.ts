import { expect, it, vi } from "vitest";
import { FakeModel } from "../../test/support/fake-model.ts";
import { layOutForest } from "../compute/forest/layout.ts";
import { measureRowsAlone } from "./round-overhead.ts";

it("times valid forwards with the rows of the rounds, as often for each shape", async () => {
  const model = new FakeModel({ nDepths: 2 });
  const forward = vi.spyOn(model, "forward");
  const rounds = [
    { proposals: 1, maskRows: 2, rounds: 3 },
    { proposals: 2, maskRows: 5, rounds: 1 },
    { proposals: 0, maskRows: 2, rounds: 1 },
  ];
  const plain = [{ proposals: 0, maskRows: 0, rounds: 9 }];
  const figures = [{ rounds: plain }, { rounds }];
  const [alone, ratio] = await measureRowsAlone(model, figures, new AbortController().signal, () => {});
  expect(alone).toBe(1);
  expect(ratio).toBeGreaterThan(0);

  const counts = new Map<string, number>();
  for (const [forest] of forward.mock.calls.slice(1)) {
    layOutForest(forest, model.program, 100);
    const masks = forest.gate.reduce((sum, gate) => sum + gate, 0);
    const key = `${forest.tokens.length - masks} + ${masks}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const times = counts.get("1 + 0");
  expect(Object.fromEntries(counts)).toEqual({ "1 + 0": times, "2 + 2": times, "3 + 5": times, "1 + 2": times });
});
