import { expect, it } from "vitest";
import { PlainSteps } from "./plain-steps.ts";

/** Steps with proposals until a plain one is due, which is then taken. */
function interval(steps: PlainSteps, sequences: number): number {
  let n = 0;
  while (!steps.isDue) {
    steps.observe(sequences, false);
    n++;
  }
  steps.observe(sequences, true);
  return n;
}

it("inserts plain steps, at first after a few others, later seldom, and again often in a batch of another size", () => {
  const steps = new PlainSteps();
  expect([1, 1, 1, 1, 1, 1, 1].map((sequences) => interval(steps, sequences))).toEqual([8, 16, 32, 64, 128, 150, 150]);
  expect([8, 8, 8].map((sequences) => interval(steps, sequences))).toEqual([150, 8, 16]);
});

it("counts plain steps that were chosen anyway", () => {
  const steps = new PlainSteps();
  for (let step = 0; step < 100; step++) {
    expect(steps.isDue).toBe(false);
    steps.observe(1, step % 4 === 0);
  }
});
