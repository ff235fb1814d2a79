import { describe, expect, it } from "vitest";
import { nativeTestBinding } from "../../../test/support/native-test-binding.ts";

describe("a job that begins while the event loop is busy", () => {
  const { poolJobs } = nativeTestBinding();

  it.each([2, 3, 5])("is done without the last of %i threads if the event loop stays busy", (threads) => {
    expect(poolJobs(threads, 50, 20, -1)).toEqual({ wrong: 0, joined: 0 });
  });

  it.each([
    [2, 0],
    [2, 7],
    [3, 19],
    [4, 3],
  ])("has the last of %i threads from phase %i on, where the event loop becomes idle", (threads, phase) => {
    expect(poolJobs(threads, 50, 20, phase)).toEqual({ wrong: 0, joined: 50 });
  });

  it.each([1, 2, 3])("does every item once whenever the event loop is busy, with %i threads", (threads) => {
    expect(poolJobs(threads, 300, 12, -2).wrong).toBe(0);
  });
});
