import fc from "fast-check";
import { expect, it } from "vitest";
import { PendingValues } from "./pending-values.ts";

it("records every value once, in order", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 3000 }), { maxLength: 6 }), (counts) => {
      const recorded: number[] = [];
      const pending = new PendingValues((value) => recorded.push(value));
      let n = 0;
      for (const count of counts) {
        for (let i = 0; i < count; i++) pending.push(n++ / 3);
        pending.flush();
        expect(recorded.length).toBe(n);
      }
      // Without a reader, only a bounded number waits.
      for (let i = 0; i < 5000; i++) pending.push(n++ / 3);
      expect(recorded.length).toBeGreaterThan(n - 2000);
      pending.flush();
      expect(recorded).toEqual(Array.from({ length: n }, (_, i) => i / 3));
    }),
    { numRuns: 20 },
  );
});
