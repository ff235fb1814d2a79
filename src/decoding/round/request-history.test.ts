import { expect, it } from "vitest";
import { RequestHistory } from "./request-history.ts";

/** Adds a round with these numbers of requests by level. */
function round(history: RequestHistory, widths: readonly number[], count = 2) {
  widths.forEach((width, level) => {
    for (let i = 0; i < width; i++) history.add(level, count);
  });
  return history.next();
}

it("expects the most requests of the last four rounds, at each level", () => {
  const history = new RequestHistory();
  expect(round(history, [1, 2, 1], 3)).toEqual({ widths: [1, 2, 1], count: 3 });
  expect(round(history, [1, 4])).toEqual({ widths: [1, 4, 1], count: 3 });
  expect(round(history, [])).toEqual({ widths: [1, 4, 1], count: 3 });
  expect(round(history, [1])).toEqual({ widths: [1, 4, 1], count: 3 });
  expect(round(history, [1])).toEqual({ widths: [1, 4], count: 2 });
  expect(round(history, [])).toEqual({ widths: [1], count: 2 });
});

it("expects nothing after four rounds without requests", () => {
  const history = new RequestHistory();
  round(history, [1]);
  for (let i = 0; i < 3; i++) expect(round(history, []).widths).toEqual([1]);
  expect(round(history, [])).toEqual({ widths: [], count: 0 });
});
