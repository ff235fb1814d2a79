import fc from "fast-check";
import { expect, it } from "vitest";
import { EventParser } from "./server-sent-events.ts";

const encoder = new TextEncoder();

it("reads the data of events, ignoring comments and other fields", () => {
  const parser = new EventParser();
  expect(parser.push(encoder.encode(": ping\nevent: x\ndata: {}\nid: 1\n\ndata:a\ndata: b\n\n\n"))).toEqual([
    "{}",
    "a\nb",
  ]);
  expect(parser.push(encoder.encode("data: unfinished\n"))).toEqual([]);
});

it("reads the same events wherever the stream is cut, with any line end", () => {
  const data = fc.array(
    fc.string({ unit: "binary" }).map((text) => text.replace(/[\r\n\uFEFF]/g, "€")),
    { minLength: 1 },
  );
  fc.assert(
    fc.property(data, fc.constantFrom("\n", "\r\n", "\r"), fc.array(fc.nat()), (texts, eol, cuts) => {
      // The last event ends in a further line: a lone CR at the end may be half of CR LF.
      const bytes = encoder.encode(`${texts.map((text) => `data: ${text}${eol}${eol}`).join("")}: end\n`);
      const ends = [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
      const parser = new EventParser();
      let start = 0;
      const events = ends.flatMap((end) => {
        const found = parser.push(bytes.subarray(start, end));
        start = end;
        return found;
      });
      expect(events).toEqual(texts.map((text) => new TextDecoder().decode(encoder.encode(text))));
    }),
  );
});
