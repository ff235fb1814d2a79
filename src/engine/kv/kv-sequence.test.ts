import { describe, expect, it } from "vitest";
import { FakeModel } from "../../../test/support/fake-model.ts";
import { KvSequence } from "./kv-sequence.ts";
import { PagePool } from "./page-pool.ts";

const ids = Array.from({ length: 100 }, (_, i) => (i * i) % 11);

function poolOf(nPages: number) {
  const pool = new PagePool(new FakeModel(), nPages);
  const committed = (length: number, from = ids) => {
    const sequence = new KvSequence(pool);
    sequence.extend(from);
    sequence.reserve(length - sequence.length);
    sequence.commit(from.slice(sequence.length, length));
    return sequence;
  };
  return { pool, committed };
}

describe("KvSequence", () => {
  it("shares full pages and continues a partial page, never including the last token", () => {
    const { pool, committed } = poolOf(10);
    const first = committed(40);
    const second = new KvSequence(pool);
    // The partial page belongs to the first sequence until it is released.
    expect(second.extend(ids)).toBe(32);
    expect([...second.pages]).toEqual([...first.pages.subarray(0, 2)]);
    second.release();
    const partial = first.pages[2];
    first.release();
    expect(pool.nAvailable).toBe(10);
    const third = new KvSequence(pool);
    expect(third.extend(ids.slice(0, 33))).toBe(32);
    third.release();
    expect(third.extend(ids.slice(0, 36))).toBe(35);
    expect(third.pages[2]).toBe(partial);
    third.release();
    expect(third.extend(ids.slice(0, 32))).toBe(16);
  });

  it("keeps one copy of a page that two sequences computed", () => {
    const { pool, committed } = poolOf(10);
    const [first, second] = [new KvSequence(pool), new KvSequence(pool)];
    for (const sequence of [first, second]) sequence.reserve(20);
    expect(pool.nAvailable).toBe(6);
    for (const sequence of [first, second]) sequence.commit(ids.slice(0, 20));
    expect(pool.nAvailable).toBe(7);
    expect(second.pages[0]).toBe(first.pages[0]);
    expect(second.pages[1]).not.toBe(first.pages[1]);
    expect(pool.contents().blocks.map(({ refCount }) => refCount)).toEqual([2]);
    expect(committed(17).pages[0]).toBe(first.pages[0]);
  });

  it("evicts the least recently used page, children before parents, and nothing that is referenced", () => {
    const { pool, committed } = poolOf(6);
    const old = committed(48);
    const referenced = committed(20, [9, ...ids]);
    old.release();
    // One page is free; then the old sequence's last page is evicted, then the one before.
    const next = new KvSequence(pool);
    expect(next.reserve(32)).toBe(true);
    expect(pool.find(referenced.root, ids).nBlocks).toBe(2);
    expect(next.reserve(48)).toBe(true);
    expect(pool.find(referenced.root, ids).nBlocks).toBe(1);
    expect(next.reserve(80)).toBe(false);
    expect(next.nPages).toBe(4);
    expect(pool.nAvailable).toBe(0);
    next.release();
    expect(pool.nAvailable).toBe(4);
  });

  it("shares nothing between adapters", () => {
    const { pool, committed } = poolOf(6);
    committed(40).release();
    expect(new KvSequence(pool, "adapter").extend(ids)).toBe(0);
    expect(new KvSequence(pool).extend(ids)).toBe(40);
  });

  it("limits the partial pages of one parent", () => {
    const { pool } = poolOf(20);
    for (let i = 0; i < 10; i++) {
      const sequence = new KvSequence(pool);
      sequence.reserve(3);
      sequence.commit([i, 1, 2]);
      sequence.release();
    }
    const { partialPages, free } = pool.contents();
    expect(partialPages.map(({ tokens }) => tokens[0])).toEqual([6, 7, 8, 9]);
    expect(free.length).toBe(16);
  });
});
