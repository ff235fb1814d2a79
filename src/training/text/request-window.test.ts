import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RequestWindow } from "./request-window.ts";

describe("RequestWindow", () => {
  it("hands out results in the order of their beginnings, and runs no more than it may", async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.integer({ min: 1, max: 5 }), async (scheduler, concurrency) => {
        let [nBegun, nRunning, most] = [0, 0, 0];
        const window = new RequestWindow(concurrency, async () => {
          const number = nBegun++;
          most = Math.max(most, ++nRunning);
          await scheduler.schedule(Promise.resolve(), `request ${number}`);
          nRunning--;
          return number;
        });
        const results: number[] = [];
        const reading = (async () => {
          for (let i = 0; i < 20; i++) results.push(await window.next());
          await window.close();
        })();
        await scheduler.waitFor(reading);
        expect(results).toEqual(Array.from({ length: 20 }, (_, i) => i));
        expect(most).toBe(concurrency);
        expect(nBegun).toBeLessThanOrEqual(20 + 8 * concurrency);
      }),
      { numRuns: 50 },
    );
  });

  it("passes on an error in its turn, and waits for what runs", async () => {
    let nEnded = 0;
    let number = 0;
    const window = new RequestWindow(3, async () => {
      const own = number++;
      await new Promise((resolve) => setTimeout(resolve, own === 0 ? 20 : 1));
      nEnded++;
      if (own === 1) throw new Error("the second");
      return own;
    });
    expect(await window.next()).toBe(0);
    await expect(window.next()).rejects.toThrow("the second");
    await window.close();
    expect(nEnded).toBe(number);
  });
});
