import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StopStrings } from "./stop-strings.ts";

const text = fc.array(fc.constantFrom("a", "b", "c"), { maxLength: 24 }).map((letters) => letters.join(""));
const stops = fc.array(
  text.filter((stop) => stop.length > 0 && stop.length < 6),
  { maxLength: 4 },
);

describe("StopStrings", () => {
  it("gives the text before the first stop string, however the text is split", () => {
    fc.assert(
      fc.property(fc.array(text, { maxLength: 12 }), stops, (parts, stops) => {
        const stream = new StopStrings(stops);
        let given = "";
        let seen = "";
        for (const part of parts) {
          const isBefore = !stream.isStopped;
          given += stream.push(part);
          if (isBefore) seen += part;
          // Text given out is never taken back.
          expect(seen.startsWith(given)).toBe(true);
          const found = stops.map((stop) => seen.indexOf(stop)).filter((at) => at >= 0);
          expect(stream.isStopped).toBe(found.length > 0);
          if (found.length > 0) {
            expect(given).toBe(seen.slice(0, Math.min(...found)));
            expect(seen.startsWith(stream.matched ?? "", given.length)).toBe(true);
            expect(stops).toContain(stream.matched);
          }
          // Only a possible start of a stop string is held back.
          else {
            const held = seen.slice(given.length);
            expect(held === "" || stops.some((stop) => stop.length > held.length && stop.startsWith(held))).toBe(true);
          }
        }
        given += stream.end();
        if (!stream.isStopped) expect(given).toBe(parts.join(""));
      }),
      { numRuns: 2000 },
    );
  });
});
