import fc from "fast-check";
import { expect } from "vitest";
import { type Forest, PAGE_SIZE } from "../../src/compute/forest/forest.ts";
import type { LoadedModel } from "../../src/compute/loaded-model.ts";
import { sha256Of } from "./numerics.ts";

/** How the rows of a sequence are run: prompt chunks, other rows in the forwards, and page order. */
interface Composition {
  readonly chunks: readonly number[];
  readonly pageSeed: number;
  /** Rows of another sequence per forward, interleaved. */
  readonly strangers: readonly number[];
  readonly masks: number;
}

/** Hashes of the logits with one row per forward: the reference. */
export async function plainHashes(model: LoadedModel, ids: readonly number[]): Promise<string[]> {
  const nPages = Math.ceil((ids.length + 1) / PAGE_SIZE);
  const cache = model.createCache(nPages);
  const pages = [...Array(nPages).keys()];
  const hashes: string[] = [];
  for (const [i, id] of ids.entries()) {
    const forest: Forest = {
      sequences: [{ length: i, pages }],
      tokens: Int32Array.of(id),
      positions: Int32Array.of(i),
      parents: Int32Array.of(-1),
      gate: Uint8Array.of(0),
      sequence: Int32Array.of(0),
      needsOutput: Uint8Array.of(1),
    };
    hashes.push(sha256Of([(await model.forward(forest, cache)).logits(0)]));
  }
  cache.dispose();
  return hashes;
}

export function composition(maxRows: number, maxMasks: number): fc.Arbitrary<Composition> {
  return fc.record({
    chunks: fc.array(fc.integer({ min: 1, max: maxRows }), { minLength: 1, maxLength: 6 }),
    pageSeed: fc.nat(1000),
    strangers: fc.array(fc.nat(maxRows), { minLength: 1, maxLength: 4 }),
    masks: fc.nat(maxMasks),
  });
}

/** Runs the sequence in a composition and compares the bits of every row with the reference. */
export async function expectSameBits(
  model: LoadedModel,
  ids: readonly number[],
  plain: readonly string[],
  { chunks, pageSeed, strangers, masks }: Composition,
): Promise<void> {
  const perSequence = Math.ceil((ids.length + 80) / PAGE_SIZE);
  const strangerPages = Math.ceil(80 / PAGE_SIZE);
  const nPages = perSequence + strangerPages;
  const cache = model.createCache(nPages);
  // A fixed shuffle of the pages.
  const order = [...Array(nPages).keys()].sort((a, b) => ((a * 7919 + pageSeed) % 101) - ((b * 7919 + pageSeed) % 101));
  const pages = order.slice(0, perSequence);
  const others = order.slice(perSequence);
  let length = 0;
  for (let step = 0; length < ids.length; step++) {
    const n = Math.min(chunks[step % chunks.length] as number, ids.length - length);
    const nStrangers = strangers[step % strangers.length] as number;
    const rows: { token: number; position: number; parent: number; gate: number; sequence: number }[] = [];
    const own: number[] = [];
    let last = -1;
    let lastStranger = -1;
    // Rows of the sequence and of another sequence, interleaved.
    for (let i = 0; i < Math.max(n, nStrangers); i++) {
      if (i < nStrangers) {
        const token = ids[(i * 13 + step) % ids.length] as number;
        rows.push({ token, position: i, parent: lastStranger, gate: 0, sequence: 1 });
        lastStranger = rows.length - 1;
      }
      if (i < n) {
        rows.push({ token: ids[length + i] as number, position: length + i, parent: last, gate: 0, sequence: 0 });
        last = rows.length - 1;
        own.push(last);
      }
    }
    for (let depth = 0, parent = last; depth < masks; depth++, parent = rows.length - 1) {
      rows.push({ token: -1, position: length + n + depth, parent, gate: 1, sequence: 0 });
    }
    const forest: Forest = {
      sequences: [
        { length, pages },
        { length: 0, pages: others },
      ],
      tokens: Int32Array.from(rows, (row) => row.token),
      positions: Int32Array.from(rows, (row) => row.position),
      parents: Int32Array.from(rows, (row) => row.parent),
      gate: Uint8Array.from(rows, (row) => row.gate),
      sequence: Int32Array.from(rows, (row) => row.sequence),
      needsOutput: new Uint8Array(rows.length).fill(1),
    };
    const result = await model.forward(forest, cache);
    own.forEach((row, i) => {
      expect(sha256Of([result.logits(row)]), `row ${length + i}`).toBe(plain[length + i]);
    });
    length += n;
  }
  cache.dispose();
}
