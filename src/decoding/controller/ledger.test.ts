import { expect, it } from "vitest";
import { randomFrom } from "../../../test/support/replay/simulation.ts";
import { Ledger } from "./ledger.ts";

/** Share of rounds that ask, where each of them costs `price` and gains 1 with a chance. */
function shareAsked(price: number, chance: number): number {
  const nRounds = 4000;
  const ledger = new Ledger();
  const random = randomFrom(3);
  let nAsked = 0;
  for (let round = 0; round < nRounds; round++) {
    if (!ledger.shouldPropose) {
      ledger.skip();
      continue;
    }
    nAsked++;
    ledger.add(random() < chance ? 1 : 0, chance, price);
  }
  return nAsked / nRounds;
}

it("always proposes if it pays, or is nearly free", () => {
  expect(shareAsked(0.05, 0.2)).toBe(1);
  expect(shareAsked(0.3, 0.6)).toBe(1);
  expect(shareAsked(0.009, 0)).toBe(1);
});

it("loses about a hundredth of the tokens if it does not, at any price", () => {
  for (const price of [0.03, 0.1, 0.3]) {
    const lost = shareAsked(price, 0) * price;
    expect(lost).toBeGreaterThan(0.005);
    expect(lost).toBeLessThan(0.02);
  }
});
