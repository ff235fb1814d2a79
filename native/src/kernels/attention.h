// Attention of rows of one sequence to their ancestors, for the query heads that share a KV head.
//
// Positions are processed in the order of the row's ancestors (cached ones, then those in the forest, then itself), in
// blocks of 16 counted from the sequence's start: score i is one chain over the head's dimensions, the sum of the
// exponentials is 16 chains (i mod 16) and a fixed tree, each output one chain over i. The result does not depend on
// where the keys are stored (page, slot, sibling rows between them) or on which queries are computed together.
#pragma once
#include "kernels/math.h"
#include "kernels/table.h"

namespace idlm {
namespace IDLM_ISA {

template <bool HALF>
IDLM_INLINE F cacheLoad(const uint8_t* p, size_t element) {
  return HALF ? halfload((const uint16_t*)p + element) : fload((const float*)p + element);
}

constexpr bool WIDE = sizeof(M) == 2;  // 32 registers of 16 lanes; else 16 of 8
// Blocks of scores, and vectors of 16 outputs, that NQ queries keep in registers: enough chains to hide the latency of
// a multiplication, and no more than fit.
constexpr int blocksOf(int nq) { return WIDE || nq == 1 ? 4 : nq <= 3 ? 2 : 1; }
// Pages whose values are accumulated before the sums go back to memory.
constexpr int MIXED_PAGES = 4;

// Queries of a tile, in scratch: q[d][NQ], so that one pointer is enough to read them.
struct Tile {
  const AttentionArgs& a;
  const float* q;
  float* scores;  // [NQ][scoreStride]
  float* sums;    // [NQ][dPad]
  int first;      // position that the rows see nothing before: a block's first
};

// The first position that a row sees.
inline int firstSeen(const AttentionArgs& a, const AttentionRow& row) {
  int n = row.length + row.nTail;
  return a.window > 0 && a.window < n ? n - a.window : 0;
}

// Scores of NQ queries for NB blocks from slot block `block` on.
template <int NQ, int NB, bool HALF>
IDLM_INLINE void scoreBlocks(const Tile& t, int block, int blocks) {
  const AttentionArgs& a = t.a;
  const uint8_t *k[NB], *next[NB];
  F s[NQ][NB];
  for (int i = 0; i < NQ; i++)
    for (int b = 0; b < NB; b++) s[i][b] = fset(0);
  // Prefetches the keys of the next blocks and the values of these, one line each for every line read here.
  for (int b = 0; b < NB; b++) {
    k[b] = (const uint8_t*)a.cache + size_t(a.pages[block + b]) * a.pageBytes;
    next[b] = (const uint8_t*)a.cache + size_t(a.pages[block + b + NB < blocks ? block + b + NB : block]) * a.pageBytes;
  }
  constexpr int ROW_BYTES = HALF ? 32 : 64;
  for (int d = 0; d < a.headDim; d++) {
    if (!HALF || (d & 1) == 0) {
#pragma GCC unroll 4
      for (int b = 0; b < NB; b++) {
        __builtin_prefetch(next[b] + d * ROW_BYTES);
        __builtin_prefetch(k[b] + a.vOffset + d * ROW_BYTES);
      }
    }
    F key[NB];
#pragma GCC unroll 4
    for (int b = 0; b < NB; b++) key[b] = cacheLoad<HALF>(k[b], size_t(d) * PAGE);
#pragma GCC unroll 8
    for (int i = 0; i < NQ; i++) {
      F q = fset(t.q[d * NQ + i]);
#pragma GCC unroll 4
      for (int b = 0; b < NB; b++) s[i][b] = fma(q, key[b], s[i][b]);
    }
  }
  F scale = fset(a.scale);
  for (int i = 0; i < NQ; i++)
    for (int b = 0; b < NB; b++)
      fstore(t.scores + size_t(i) * a.scoreStride + size_t(block + b) * PAGE, s[i][b] * scale);
}

// sums[i][d0 .. d0 + 16 ND) += weight x V over positions [begin, end), which are in order in the sequence's pages.
template <int NQ, int ND, bool HALF>
IDLM_INLINE void mixValues(const Tile& t, int first, int begin, int end, int d0) {
  const AttentionArgs& a = t.a;
  const float* weights = t.scores + size_t(first) * a.scoreStride;
  float* sums = t.sums + size_t(first) * size_t(a.dPad) + d0;
  F s[NQ][ND];
  for (int i = 0; i < NQ; i++)
    for (int d = 0; d < ND; d++) s[i][d] = fload(sums + size_t(i) * size_t(a.dPad) + d * LANES);
  for (int position = begin; position < end;) {
    const uint8_t* page = (const uint8_t*)a.cache + size_t(a.pages[position / PAGE]) * a.pageBytes + a.vOffset;
    int last = position / PAGE * PAGE + PAGE < end ? position / PAGE * PAGE + PAGE : end;
    for (; position < last; position++) {
      size_t at = size_t(position % PAGE) * size_t(a.dPad) + size_t(d0);
      F v[ND];
#pragma GCC unroll 4
      for (int d = 0; d < ND; d++) v[d] = cacheLoad<HALF>(page, at + size_t(d) * LANES);
#pragma GCC unroll 8
      for (int i = 0; i < NQ; i++) {
        F w = fset(weights[size_t(i) * a.scoreStride + size_t(position)]);
#pragma GCC unroll 4
        for (int d = 0; d < ND; d++) s[i][d] = fma(w, v[d], s[i][d]);
      }
    }
  }
  for (int i = 0; i < NQ; i++)
    for (int d = 0; d < ND; d++) fstore(sums + size_t(i) * size_t(a.dPad) + d * LANES, s[i][d]);
}

// The same for one query and the ancestors from position `begin` on, whose slots are their positions, or in the row's
// tail.
template <bool HALF>
static void mixRest(const Tile& t, int query, const AttentionRow& row, int begin) {
  const AttentionArgs& a = t.a;
  const float* weights = t.scores + size_t(query) * a.scoreStride;
  float* sums = t.sums + size_t(query) * size_t(a.dPad);
  int n = row.length + row.nTail;
  for (int position = begin; position < n; position++) {
    int slot = position < row.length ? position : row.tail[position - row.length];
    const uint8_t* page = (const uint8_t*)a.cache + size_t(a.pages[slot / PAGE]) * a.pageBytes + a.vOffset;
    size_t at = size_t(slot % PAGE) * size_t(a.dPad);
    F w = fset(weights[position]);
    for (int d = 0; d < a.dPad; d += LANES)
      fstore(sums + d, fma(w, cacheLoad<HALF>(page, at + size_t(d)), fload(sums + d)));
  }
}

// Computes the weights of one query's ancestors from `first` on from the scores of all slots, in place and not
// normalised; returns 1 / sum. Ancestors before `seen` have weight 0, which changes no sum.
static float weigh(float* s, const AttentionRow& row, int first, int seen) {
  int n = row.length + row.nTail, padded = (n + LANES - 1) / LANES * LANES;
  // Compacts slots to ancestors: tail[j] >= length + j.
  for (int j = 0; j < row.nTail; j++) s[row.length + j] = s[row.tail[j]];
  for (int j = first; j < seen; j++) s[j] = -__builtin_inff();
  for (int j = n; j < padded; j++) s[j] = -__builtin_inff();
  F largest = fset(-__builtin_inff());
  for (int j = first; j < padded; j += LANES) largest = fmax(fload(s + j), largest);
  F top = fset(maxLanes(largest)), sum = fset(0);
  for (int j = first; j < padded; j += LANES) {
    F e = vexp(fload(s + j) - top);
    fstore(s + j, e);
    sum = sum + e;
  }
  return 1.0f / sumLanes(sum);
}

// Heads [head, head + NQ / nRows) of rows [row, row + nRows): nRows divides NQ.
template <int NQ, bool HALF>
static void attendTile(const AttentionArgs& a, int row, int nRows, int head) {
  int nHeads = NQ / nRows, slots = 0, common = INT32_MAX, seen = INT32_MAX;
  float* q = a.scratch;
  const AttentionRow* rows = a.rows + row;
  for (int r = 0; r < nRows; r++) {
    const AttentionRow& own = rows[r];
    int end = own.nTail ? own.tail[own.nTail - 1] + 1 : own.length;
    slots = end > slots ? end : slots;
    common = own.length < common ? own.length : common;
    seen = firstSeen(a, own) < seen ? firstSeen(a, own) : seen;
    for (int h = 0; h < nHeads; h++)
      for (int d = 0; d < a.headDim; d++)
        q[d * NQ + r * nHeads + h] = own.q[size_t(head + h) * size_t(a.dPad) + size_t(d)];
  }
  Tile t{a, q, q + ATTENTION_QUERIES * size_t(a.dPad) * 2, q + ATTENTION_QUERIES * size_t(a.dPad), seen / PAGE * PAGE};
  int blocks = (slots + PAGE - 1) / PAGE, block = t.first / PAGE;
  constexpr int NB = blocksOf(NQ), ND = NB;
  for (; block + NB <= blocks; block += NB) scoreBlocks<NQ, NB, HALF>(t, block, blocks);
  for (; block < blocks; block++) scoreBlocks<NQ, 1, HALF>(t, block, blocks);
  float inverse[NQ];
  for (int i = 0; i < NQ; i++) {
    const AttentionRow& own = rows[i / nHeads];
    inverse[i] = weigh(t.scores + size_t(i) * a.scoreStride, own, t.first, firstSeen(a, own));
  }
  for (int i = 0; i < NQ * a.dPad; i += LANES) fstore(t.sums + i, fset(0));
  for (int begin = t.first; begin < common; begin += MIXED_PAGES * PAGE) {
    int end = common - begin < MIXED_PAGES * PAGE ? common : begin + MIXED_PAGES * PAGE, d = 0;
    for (; d + ND * LANES <= a.dPad; d += ND * LANES) mixValues<NQ, ND, HALF>(t, 0, begin, end, d);
    for (; d < a.dPad; d += LANES) mixValues<NQ, 1, HALF>(t, 0, begin, end, d);
  }
  for (int i = 0; i < NQ; i++) {
    mixRest<HALF>(t, i, rows[i / nHeads], common > t.first ? common : t.first);
    float* out = rows[i / nHeads].out + size_t(head + i % nHeads) * size_t(a.headDim);
    const float* sums = t.sums + size_t(i) * size_t(a.dPad);
    for (int d = 0; d < a.headDim; d++) out[d] = sums[d] * inverse[i];
  }
}

template <int N>
struct Queries {
  static constexpr int n = N;
};

// Calls tile(Queries<N>, row, nRows, head) for tiles of at most ATTENTION_QUERIES: whole rows, or equal parts of one
// row's heads. A tile has N / nRows heads from `head` on.
template <class F>
static void eachTile(const AttentionArgs& a, F tile) {
  int nRows = a.group > ATTENTION_QUERIES ? 1 : ATTENTION_QUERIES / a.group;
  int parts = (a.group + ATTENTION_QUERIES - 1) / ATTENTION_QUERIES;
  for (int row = 0; row < a.nRows; row += nRows) {
    int n = a.nRows - row < nRows ? a.nRows - row : nRows;
    for (int part = 0; part < parts; part++) {
      int head = a.group * part / parts, nHeads = a.group * (part + 1) / parts - head;
      switch (n * nHeads) {
        case 1:
          tile(Queries<1>{}, row, n, head);
          break;
        case 2:
          tile(Queries<2>{}, row, n, head);
          break;
        case 3:
          tile(Queries<3>{}, row, n, head);
          break;
        case 4:
          tile(Queries<4>{}, row, n, head);
          break;
        case 5:
          tile(Queries<5>{}, row, n, head);
          break;
        default:
          tile(Queries<6>{}, row, n, head);
      }
    }
  }
}

static void attention(const AttentionArgs& a) {
  eachTile(a, [&](auto queries, int row, int nRows, int head) {
    if (a.half)
      attendTile<queries.n, true>(a, row, nRows, head);
    else
      attendTile<queries.n, false>(a, row, nRows, head);
  });
}

}  // namespace IDLM_ISA
}  // namespace idlm
