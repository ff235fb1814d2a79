import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { GenerationPart, GenerationResult } from "../types.ts";
import { GenerationStream } from "./generation.ts";

const partOf = (id: number): GenerationPart => ({ text: String(id), tokens: [id] });
const result = { text: "all" } as GenerationResult;
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("GenerationStream", () => {
  it("yields every part once, in order, however reads and parts alternate", async () => {
    const steps = fc.array(fc.constantFrom("emit", "read", "turn"), { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(steps, fc.boolean(), async (actions, isFailing) => {
        const stream = new GenerationStream([]);
        const iterator = stream[Symbol.asyncIterator]();
        const reads: Promise<IteratorResult<GenerationPart>>[] = [];
        let nEmitted = 0;
        for (const action of actions) {
          if (action === "emit") stream.emit(partOf(nEmitted++));
          else if (action === "read") reads.push(iterator.next());
          else await turn();
        }
        while (reads.length < nEmitted) reads.push(iterator.next());
        if (isFailing) stream.fail(new Error("broken"));
        else stream.end(result);
        const nWaiting = reads.length - nEmitted;
        const settled = await Promise.allSettled([...reads, iterator.next(), iterator.next()]);
        const parts = settled.slice(0, nEmitted).map((one) => one.status === "fulfilled" && one.value.value);
        expect(parts).toEqual(Array.from({ length: nEmitted }, (_, id) => partOf(id)));
        const [first, ...others] = settled.slice(nEmitted);
        expect(others.length).toBe(nWaiting + 1);
        // An error is thrown once.
        const over = { status: "fulfilled", value: { value: undefined, done: true } };
        expect(first).toEqual(isFailing ? { status: "rejected", reason: new Error("broken") } : over);
        for (const other of others) expect(other).toEqual(over);
      }),
    );
  });

  it("pauses for a reader that lags, and continues when half is read", async () => {
    const stream = new GenerationStream([], 4);
    let nDrained = 0;
    stream.onDrain = () => nDrained++;
    for (let id = 0; id < 9; id++) stream.emit(partOf(id));
    // Nobody reads: only the result is wanted.
    expect(stream.needsDrain).toBe(false);
    const iterator = stream[Symbol.asyncIterator]();
    stream.emit(partOf(9));
    expect(stream.needsDrain).toBe(true);
    for (let id = 0; id < 8; id++) {
      expect(nDrained).toBe(0);
      expect((await iterator.next()).value).toEqual(partOf(id));
    }
    expect([stream.needsDrain, nDrained]).toEqual([false, 1]);
  });

  it("is cancelled by a reader that leaves, also while it waits", async () => {
    const stream = new GenerationStream([]);
    const iterator = stream[Symbol.asyncIterator]();
    const waiting = iterator.next();
    await iterator.return?.();
    expect(stream.signal.aborted).toBe(true);
    stream.end(result);
    expect(await waiting).toEqual({ value: undefined, done: true });
    expect(() => stream[Symbol.asyncIterator]()).toThrow(/iterated once/);
  });
});
