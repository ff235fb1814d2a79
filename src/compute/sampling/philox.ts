/**
 * Counter-based random numbers (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011), as in
 * native/src/sampling/sampler.cpp and native/src/kernels/sampling.h: noise depends only on its key, not on earlier
 * draws.
 */

/**
 * Purpose of noise. Each has its own, as has each kind of proposer: two that draw for one position must not share
 * noise.
 */
export const Purpose = { draw: 0, acceptance: 1, residual: 2, proposal: 3, draft: 4, extraHead: 5 } as const;
export type Purpose = (typeof Purpose)[keyof typeof Purpose];

/** High word of a product, computed by halves, since a double has 53 bits. */
function high(a: number, b: number): number {
  const [a1, a0, b1, b0] = [a >>> 16, a & 0xffff, b >>> 16, b & 0xffff];
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  const other = a0 * b1 + (middle & 0xffff);
  return (a1 * b1 + Math.floor(middle / 0x1_0000) + Math.floor(other / 0x1_0000)) >>> 0;
}

/** Philox4x32-10 of four words with a key of two. */
export function philox4(counter: readonly number[], key: readonly number[]): [number, number, number, number] {
  let [a = 0, b = 0, c = 0, d = 0] = counter;
  let [k0 = 0, k1 = 0] = key;
  for (let round = 0; round < 10; round++) {
    const nextA = (high(0xcd9e8d57, c) ^ b ^ k0) >>> 0;
    const nextC = (high(0xd2511f53, a) ^ d ^ k1) >>> 0;
    b = Math.imul(0xcd9e8d57, c) >>> 0;
    d = Math.imul(0xd2511f53, a) >>> 0;
    a = nextA;
    c = nextC;
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [a, b, c, d];
}

/** Philox2x32-10 of (a, b) with a key of one word. */
export function philox2(a: number, b: number, key: number): [number, number] {
  for (let round = 0; round < 10; round++) {
    const next = (high(0xd256d193, a) ^ key ^ b) >>> 0;
    b = Math.imul(0xd256d193, a) >>> 0;
    a = next;
    key = (key + 0x9e3779b9) >>> 0;
  }
  return [a, b];
}

/** Key of the noise of one position. */
export interface NoiseKey {
  readonly key: number;
  readonly word: number;
}

export function noiseKey(seed: number, position: number, choice: number, purpose: Purpose): NoiseKey {
  const upper = (value: number) => Math.floor(value / 2 ** 32) >>> 0;
  const counter = [position >>> 0, upper(position), choice >>> 0, purpose];
  const [key, word] = philox4(counter, [seed >>> 0, upper(seed)]);
  return { key, word };
}

/** Uniform in (0, 1), from 32 bits. */
export function uniform({ key, word }: NoiseKey, token: number): number {
  const [random] = philox2(token, word, key);
  return (random + 0.5) / 2 ** 32;
}

/** Standard Gumbel noise of a token: −ln(−ln u), u uniform from 32 bits. */
export function gumbel(key: NoiseKey, token: number): number {
  const v = Math.min(uniform(key, token), 1 - 2 ** -24);
  return -Math.log(-Math.log1p(-v));
}
