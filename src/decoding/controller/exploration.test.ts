import { describe, expect, it } from "vitest";
import { Exploration } from "./exploration.ts";

/** Tokens spent on MASK rows in `nSteps` plain steps that could have one each, after the trial. */
function spentOf(exploration: Exploration, price: number, nSteps: number): number {
  let spent = 0;
  for (let step = 0; step < nSteps; step++) {
    const takes = exploration.takesMaskRow(price);
    if (takes) spent += price;
    exploration.observe(takes ? 1 : 0, 1);
  }
  return spent;
}

describe("Exploration", () => {
  it("takes MASK rows at any price at first, for one sequence of a step, and does not measure the very first", () => {
    const exploration = new Exploration();
    const typical: boolean[] = [];
    for (let step = 0; step < 12; step++) {
      expect([exploration.takesMaskRow(9), exploration.takesMaskRow(9)]).toEqual([true, false]);
      typical.push(exploration.isTypical(1));
      exploration.observe(1, 1);
    }
    expect(typical).toEqual([...Array<boolean>(8).fill(false), ...Array<boolean>(4).fill(true)]);
    expect(exploration.isTypical(0)).toBe(true);
    expect(exploration.takesMaskRow(9)).toBe(false);
  });

  it("spends at most a hundredth of the tokens later, and ever less if nothing pays", () => {
    for (const price of [0.05, 0.3, 1]) {
      const exploration = new Exploration();
      for (let step = 0; step < 12; step++) spentOf(exploration, price, 1);
      const spent = spentOf(exploration, price, 2000);
      expect(spent).toBeGreaterThan(0.001 * 2000);
      expect(spent).toBeLessThan(0.01 * 2000 + price);
      expect(spentOf(exploration, price, 2000)).toBeLessThan(0.0025 * 2000 + price);
    }
  });

  it("spends no more beside more sequences: where rows are expensive, nothing pays for all of them", () => {
    const exploration = new Exploration();
    let spent = 0;
    for (let step = 0; step < 2000; step++) {
      if (step % 3 === 0) exploration.addSequence();
      const takes = exploration.takesMaskRow(1);
      if (takes && step >= 12) spent++;
      exploration.observe(takes ? 1 : 0, 16);
    }
    expect(spent).toBeGreaterThan(0);
    expect(spent).toBeLessThanOrEqual(0.01 * 2000 + 1);
  });

  it("does not explore between steps with MASK rows that were chosen for their value", () => {
    const exploration = new Exploration();
    for (let step = 0; step < 200; step++) exploration.observe(1, 1);
    expect(exploration.takesMaskRow(0.1)).toBe(false);
    for (let step = 0; step < 3; step++) exploration.observe(0, 1);
    expect(exploration.takesMaskRow(0.1)).toBe(true);
  });
});
