import { expect, it } from "vitest";
import { WorkClock } from "./work-clock.ts";

it("adds up sessions, and stores the time now and then", () => {
  let nowMs = 1_000_000;
  const saved: number[] = [];
  const clock = new WorkClock(
    70_000,
    (ms) => saved.push(ms),
    () => nowMs,
  );
  for (let i = 0; i < 12; i++) {
    nowMs += 1000;
    clock.tick();
  }
  expect(clock.workMs).toBe(82_000);
  expect(saved).toEqual([75_000, 80_000]);
});
