import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { anchorAt, anchorFrom, anchorSpans, countAnchors } from "./anchors.ts";

describe("anchorSpans", () => {
  it("goes from the last prompt token to the last anchor whose run is full", () => {
    // Tokens 0 … 9, of them 3 of the prompt: the run off 5 predicts tokens 7, 8 and 9.
    expect(anchorSpans(Uint8Array.of(0, 0, 0, 1, 1, 1, 1, 1, 1, 1), 3)).toEqual([{ first: 2, end: 6 }]);
    expect(anchorSpans(Uint8Array.of(0, 0, 0, 1, 1, 1), 3)).toEqual([]);
    expect(anchorSpans(new Uint8Array(5), 1)).toEqual([]);
    expect(anchorSpans(Uint8Array.of(1, 1, 1, 1), 1)).toEqual([{ first: 0, end: 2 }]);
  });

  it("has exactly the anchors whose predicted tokens all belong to one response", () => {
    const masks = fc.array(fc.integer({ min: 0, max: 1 }), { maxLength: 40 }).map((bits) => Uint8Array.from(bits));
    fc.assert(
      fc.property(masks, fc.integer({ min: 1, max: 5 }), (isResponse, nMasks) => {
        const expected = Array.from(isResponse, (_, a) => a).filter((a) =>
          Array.from({ length: nMasks + 1 }, (_, j) => isResponse[a + 1 + j]).every((bit) => bit === 1),
        );
        const spans = anchorSpans(isResponse, nMasks);
        const found = Array.from({ length: countAnchors(spans) }, (_, i) => anchorAt(spans, i));
        expect(found).toEqual(expected);
        for (let place = 0; place <= isResponse.length; place++) {
          expect(anchorFrom(spans, place)).toBe(expected.find((anchor) => anchor >= place));
        }
      }),
    );
  });
});
