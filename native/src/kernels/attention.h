// Attention of one row over its ancestors, for the query heads that share one KV head.
//
// Positions are walked in the order of the row's ancestors (cached ones, then those in the forest, then itself), in
// blocks of 16 counted from the sequence's start: score i is one chain over the head's dimensions, the sum of the
// exponentials is 16 chains (i mod 16) and a fixed tree, each output one chain over i. Where the keys lie (page, slot,
// sibling rows between them) changes nothing.
#pragma once
#include "math.h"
#include "table.h"

namespace idlm {
namespace IDLM_ISA {

template <bool HALF> IDLM_INLINE F cacheLoad(const uint8_t* p, size_t element) {
  return HALF ? halfload((const uint16_t*)p + element) : fload((const float*)p + element);
}

// Scores of NQ heads for NB blocks that begin at slot block `block`.
template <int NQ, int NB, bool HALF>
IDLM_INLINE void scoreBlocks(const AttentionArgs& a, const float* q, int block, int blocks, float* scores) {
  const uint8_t* k[NB];
  for (int b = 0; b < NB; b++) k[b] = (const uint8_t*)a.cache + size_t(a.pages[block + b]) * a.pageBytes;
  F s[NQ][NB];
  for (int i = 0; i < NQ; i++)
    for (int b = 0; b < NB; b++) s[i][b] = fset(0);
  // The keys of the next blocks and the values of these, a line each for every line read here.
  const uint8_t* next[NB];
  for (int b = 0; b < NB; b++) next[b] = (const uint8_t*)a.cache + size_t(a.pages[block + b + NB < blocks ? block + b + NB : block]) * a.pageBytes;
  constexpr int ROW_BYTES = HALF ? 32 : 64;
  for (int d = 0; d < a.headDim; d++) {
    if (!HALF || (d & 1) == 0) {
#pragma GCC unroll 4
      for (int b = 0; b < NB; b++) {
        __builtin_prefetch(next[b] + d * ROW_BYTES);
        __builtin_prefetch(k[b] + a.vOffset + d * ROW_BYTES);
      }
    }
#pragma GCC unroll 4
    for (int b = 0; b < NB; b++) {
      F key = cacheLoad<HALF>(k[b], size_t(d) * PAGE);
#pragma GCC unroll 4
      for (int i = 0; i < NQ; i++) s[i][b] = fma(fset(q[i * a.dPad + d]), key, s[i][b]);
    }
  }
  F scale = fset(a.scale);
  for (int i = 0; i < NQ; i++)
    for (int b = 0; b < NB; b++) fstore(scores + size_t(i) * a.scoreStride + size_t(block + b) * PAGE, s[i][b] * scale);
}

// out[i][d0 .. d0 + 16 ND) = sum over positions of weight x V, then divided by the sum of the weights.
template <int NQ, int ND, bool HALF>
IDLM_INLINE void mixValues(const AttentionArgs& a, const float* weights, const float* inverse, int n, int d0, float* out) {
  F s[NQ][ND];
  for (int i = 0; i < NQ; i++)
    for (int d = 0; d < ND; d++) s[i][d] = fset(0);
  auto pageOf = [&](int slot) { return (const uint8_t*)a.cache + size_t(a.pages[slot / PAGE]) * a.pageBytes + a.vOffset; };
  auto step = [&](const uint8_t* page, int position, int slot) __attribute__((always_inline)) {
    size_t at = size_t(slot) * size_t(a.dPad) + size_t(d0);
    F v[ND];
#pragma GCC unroll 4
    for (int d = 0; d < ND; d++) v[d] = cacheLoad<HALF>(page, at + size_t(d) * LANES);
#pragma GCC unroll 4
    for (int i = 0; i < NQ; i++) {
      F w = fset(weights[size_t(i) * a.scoreStride + size_t(position)]);
#pragma GCC unroll 4
      for (int d = 0; d < ND; d++) s[i][d] = fma(w, v[d], s[i][d]);
    }
  };
  for (int block = 0; block < a.length; block += PAGE) {
    const uint8_t* page = pageOf(block);
    int end = a.length - block < PAGE ? a.length - block : PAGE;
    for (int i = 0; i < end; i++) step(page, block + i, i);
  }
  for (int i = a.length; i < n; i++) {
    int slot = a.tail[i - a.length];
    step(pageOf(slot), i, slot % PAGE);
  }
  for (int i = 0; i < NQ; i++)
    for (int d = 0; d < ND; d++) {
      float lanes[LANES];
      fstore(lanes, s[i][d] * fset(inverse[i]));
      int at = d0 + d * LANES;
      for (int j = 0; j < LANES && at + j < a.headDim; j++) out[i * a.headDim + at + j] = lanes[j];
    }
}

template <int NQ, bool HALF> static void attendHeads(const AttentionArgs& a, const float* q, float* out) {
  int n = a.length + a.nTail;
  int slots = a.nTail ? a.tail[a.nTail - 1] + 1 : a.length;
  int blocks = (slots + PAGE - 1) / PAGE, block = 0;
  float* scores = a.scores;
  constexpr int NB = sizeof(M) == 2 ? 4 : 1;  // as many chains as registers hold
  for (; block + NB <= blocks; block += NB) scoreBlocks<NQ, NB, HALF>(a, q, block, blocks, scores);
  for (; block < blocks; block++) scoreBlocks<NQ, 1, HALF>(a, q, block, blocks, scores);
  float inverse[NQ];
  for (int i = 0; i < NQ; i++) {
    float* s = scores + size_t(i) * a.scoreStride;
    // From slots to ancestors, in place: tail[j] >= length + j.
    for (int j = 0; j < a.nTail; j++) s[a.length + j] = s[a.tail[j]];
    int padded = (n + LANES - 1) / LANES * LANES;
    for (int j = n; j < padded; j++) s[j] = -__builtin_inff();
    F largest = fset(-__builtin_inff());
    for (int j = 0; j < padded; j += LANES) largest = fmax(fload(s + j), largest);
    F top = fset(maxLanes(largest)), sum = fset(0);
    for (int j = 0; j < padded; j += LANES) {
      F e = vexp(fload(s + j) - top);
      fstore(s + j, e);
      sum = sum + e;
    }
    inverse[i] = 1.0f / sumLanes(sum);
  }
  int d = 0;
  for (; d + 64 <= a.dPad; d += 64) mixValues<NQ, 4, HALF>(a, scores, inverse, n, d, out);
  for (; d < a.dPad; d += 16) mixValues<NQ, 1, HALF>(a, scores, inverse, n, d, out);
}

template <bool HALF> static void attendGroup(const AttentionArgs& a, const float* q) {
  float* out = a.out;
  for (int head = 0; head < a.group;) {
    int left = a.group - head;
    const float* qh = q + size_t(head) * size_t(a.dPad);
    float* oh = out + size_t(head) * size_t(a.headDim);
    if (left >= 4) attendHeads<4, HALF>(a, qh, oh), head += 4;
    else if (left == 3) attendHeads<3, HALF>(a, qh, oh), head += 3;
    else if (left == 2) attendHeads<2, HALF>(a, qh, oh), head += 2;
    else attendHeads<1, HALF>(a, qh, oh), head += 1;
  }
}

static void attention(const AttentionArgs& a, const float* q) {
  if (a.half) attendGroup<true>(a, q);
  else attendGroup<false>(a, q);
}

}  // namespace IDLM_ISA
}  // namespace idlm
