import { describe, expect, it } from "vitest";
import { FakeModel } from "../../../test/support/fake-model.ts";
import { KvSequence } from "./kv-sequence.ts";
import { PagePool } from "./page-pool.ts";

const text = Array.from({ length: 100 }, (_, i) => (i * i) % 11);

function poolOf(nPages: number) {
  const pool = new PagePool(new FakeModel(), nPages);
  const written = (length: number, from = text) => {
    const sequence = new KvSequence(pool);
    sequence.extend(from);
    sequence.reserve(length - sequence.length);
    sequence.commit(from.slice(sequence.length, length));
    return sequence;
  };
  return { pool, written };
}

describe("KvSequence", () => {
  it("shares full pages and takes a tail away, all but the text's last token", () => {
    const { pool, written } = poolOf(10);
    const first = written(40);
    const second = new KvSequence(pool);
    // The tail is the first one's own as long as it runs.
    expect(second.extend(text)).toBe(32);
    expect([...second.pages]).toEqual([...first.pages.subarray(0, 2)]);
    second.release();
    const tail = first.pages[2];
    first.release();
    expect(pool.nAvailable).toBe(10);
    const third = new KvSequence(pool);
    expect(third.extend(text.slice(0, 33))).toBe(32);
    third.release();
    expect(third.extend(text.slice(0, 36))).toBe(35);
    expect(third.pages[2]).toBe(tail);
    third.release();
    expect(third.extend(text.slice(0, 32))).toBe(16);
  });

  it("keeps one page of a text that two computed", () => {
    const { pool, written } = poolOf(10);
    const [first, second] = [new KvSequence(pool), new KvSequence(pool)];
    for (const sequence of [first, second]) sequence.reserve(20);
    expect(pool.nAvailable).toBe(6);
    for (const sequence of [first, second]) sequence.commit(text.slice(0, 20));
    expect(pool.nAvailable).toBe(7);
    expect(second.pages[0]).toBe(first.pages[0]);
    expect(second.pages[1]).not.toBe(first.pages[1]);
    expect(pool.contents().blocks.map(({ nHolders }) => nHolders)).toEqual([2]);
    expect(written(17).pages[0]).toBe(first.pages[0]);
  });

  it("evicts what rested longest, ends before beginnings, and nothing that is held", () => {
    const { pool, written } = poolOf(6);
    const old = written(48);
    const held = written(20, [9, ...text]);
    old.release();
    // One page is free, then the old text's last one goes, and then the one before.
    const next = new KvSequence(pool);
    expect(next.reserve(32)).toBe(true);
    expect(pool.find(held.root, text).nBlocks).toBe(2);
    expect(next.reserve(48)).toBe(true);
    expect(pool.find(held.root, text).nBlocks).toBe(1);
    expect(next.reserve(80)).toBe(false);
    expect(next.nPages).toBe(4);
    expect(pool.nAvailable).toBe(0);
    next.release();
    expect(pool.nAvailable).toBe(4);
  });

  it("keeps texts under different adapters apart", () => {
    const { pool, written } = poolOf(6);
    written(40).release();
    expect(new KvSequence(pool, "adapter").extend(text)).toBe(0);
    expect(new KvSequence(pool).extend(text)).toBe(40);
  });

  it("keeps few tails behind one beginning", () => {
    const { pool } = poolOf(20);
    for (let i = 0; i < 10; i++) {
      const sequence = new KvSequence(pool);
      sequence.reserve(3);
      sequence.commit([i, 1, 2]);
      sequence.release();
    }
    const { tails, free } = pool.contents();
    expect(tails.map(({ tokens }) => tokens[0])).toEqual([6, 7, 8, 9]);
    expect(free.length).toBe(16);
  });
});
