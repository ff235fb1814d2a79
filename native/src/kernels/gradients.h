// Backwards of the operations per row, and sums over rows. Each element is one fixed chain of operations, as in the
// forwards.
#pragma once
#include "kernels/attention.h"
#include "kernels/math.h"
#include "kernels/table.h"

namespace idlm {
namespace IDLM_ISA {

// out[i][k] += y[r][i] x[r][k], over r in order. Reads and writes whole vectors of k.
template <int NY, int NX>
IDLM_INLINE void outerTile(const OuterArgs& a, int i, int k) {
  F sums[NY][NX];
  float* out = a.out + size_t(i) * a.outStride + k;
  for (int y = 0; y < NY; y++)
    for (int x = 0; x < NX; x++) sums[y][x] = fload(out + size_t(y) * a.outStride + x * LANES);
  for (int r = 0; r < a.nRows; r++) {
    const float *ys = a.y + size_t(r) * a.yStride + i, *xs = a.x + size_t(r) * a.xStride + k;
    F v[NX];
#pragma GCC unroll 4
    for (int x = 0; x < NX; x++) v[x] = fload(xs + x * LANES);
#pragma GCC unroll 8
    for (int y = 0; y < NY; y++) {
      F factor = fset(ys[y]);
#pragma GCC unroll 4
      for (int x = 0; x < NX; x++) sums[y][x] = fma(factor, v[x], sums[y][x]);
    }
  }
  for (int y = 0; y < NY; y++)
    for (int x = 0; x < NX; x++) fstore(out + size_t(y) * a.outStride + x * LANES, sums[y][x]);
}

constexpr int OUTER_Y = WIDE ? 8 : 4;  // with two vectors of x, as many sums as registers hold

static void outer(const OuterArgs& a) {
  int k = 0, vectors = (a.nX + LANES - 1) / LANES * LANES;
  for (; k + 2 * LANES <= vectors; k += 2 * LANES) {
    int i = 0;
    for (; i + OUTER_Y <= a.nY; i += OUTER_Y) outerTile<OUTER_Y, 2>(a, i, k);
    for (; i < a.nY; i++) outerTile<1, 2>(a, i, k);
  }
  for (int i = 0; k < vectors && i < a.nY; i++) outerTile<1, 1>(a, i, k);
}

// y = x s w, s = (mean x^2 + epsilon)^(-1/2): dx = s (dy w - x s^2 mean(dy w x)), stored or added.
static void rmsnormGradient(const float* x, const float* weight, const float* dy, int cols, float epsilon, float* dx,
                            bool add) {
  F squares = fset(0), products = fset(0);
  int whole = cols / LANES * LANES;
  float xs[LANES] = {}, ys[LANES] = {};
  for (int i = whole; i < cols; i++) xs[i - whole] = x[i], ys[i - whole] = weight ? dy[i] * weight[i] : dy[i];
  for (int i = 0; i < whole; i += LANES) {
    F v = fload(x + i), g = fload(dy + i);
    if (weight) g = g * fload(weight + i);
    squares = fma(v, v, squares), products = fma(g, v, products);
  }
  if (whole < cols) {
    F v = fload(xs), g = fload(ys);
    squares = fma(v, v, squares), products = fma(g, v, products);
  }
  float scale = 1.0f / __builtin_sqrtf(sumLanes(squares) / float(cols) + epsilon);
  float shared = scale * scale * (sumLanes(products) / float(cols));
  F s = fset(scale), t = fset(shared);
  for (int i = 0; i < whole; i += LANES) {
    F g = fload(dy + i);
    if (weight) g = g * fload(weight + i);
    F d = s * (g - fload(x + i) * t);
    fstore(dx + i, add ? fload(dx + i) + d : d);
  }
  for (int i = whole; i < cols; i++) {
    float d = scale * (ys[i - whole] - xs[i - whole] * shared);
    dx[i] = add ? dx[i] + d : d;
  }
}

// Derivative of silu: sigma + x sigma (1 - sigma).
IDLM_INLINE void siluWithSlope(F x, F& value, F& slope) {
  F sigma = fset(1.0f) / (fset(1.0f) + vexp(fset(0.0f) - x));
  value = x * sigma;
  slope = fma(value, fset(1.0f) - sigma, sigma);
}

// n is a multiple of 16, as the rows of values are padded.
static void swigluGradient(const float* gate, const float* up, const float* dm, int n, float* dGate, float* dUp) {
  for (int i = 0; i < n; i += LANES) {
    F value, slope, d = fload(dm + i);
    siluWithSlope(fload(gate + i), value, slope);
    F u = d * value;
    fstore(dGate + i, d * fload(up + i) * slope);
    fstore(dUp + i, u);
  }
}

static void siluGradient(const float* x, const float* dy, int n, float* dx) {
  for (int i = 0; i < n; i += LANES) {
    F value, slope;
    siluWithSlope(fload(x + i), value, slope);
    fstore(dx + i, fload(dy + i) * slope);
  }
}

// Places before element `at` in descending order, the lower index first of equal ones.
static int rankOf(const float* x, int n, int at) {
  F own = fset(x[at]);
  int rank = 0, i = 0;
  for (; i + LANES <= n; i += LANES) {
    F v = fload(x + i);
    uint32_t before = i + LANES <= at ? bits(v >= own) : bits(v > own);
    if (i <= at && at < i + LANES) before |= bits(v == own) & ((1u << (at - i)) - 1);
    rank += __builtin_popcount(before);
  }
  for (; i < n; i++) rank += x[i] > x[at] || (x[i] == x[at] && i < at);
  return rank;
}

// n is a multiple of 16; behind the draft vocabulary both kinds of logits are -infinity.
static void rowLoss(const RowLossArgs& a, RowLossResult& result) {
  F largest = fset(-__builtin_inff()), sum = fset(0);
  for (int i = 0; i < a.n; i += LANES) largest = fmax(fload(a.logits + i), largest);
  float top = maxLanes(largest);
  for (int i = 0; i < a.n; i += LANES) {
    F e = vexp(fload(a.logits + i) - fset(top));
    fstore(a.q + i, e);
    sum = sum + e;
  }
  float total = sumLanes(sum);
  F scale = fset(1.0f / total), targetScale = fset(1.0f / a.targetSum), targetTop = fset(a.targetLargest);
  F overlap = fset(0), below = fset(0), mass = fset(0), logit = fset(0);
  for (int i = 0; i < a.n; i += LANES) {
    F d = fload(a.target + i) - targetTop;
    F p = vexp(d) * targetScale, q = fload(a.q + i) * scale;
    fstore(a.p + i, p), fstore(a.q + i, q);
    overlap = overlap + fmin(p, q);
    below = below + select(q < p, q, fset(0));
    mass = mass + p;
    F difference = d - (fload(a.logits + i) - fset(top));
    logit = logit + select(p > fset(0), p * difference, fset(0));
  }
  float m = sumLanes(mass), o = sumLanes(overlap), b = sumLanes(below);
  result.overlap = o;
  float logTotal = maxLanes(vlog(fset(total))), logTarget = maxLanes(vlog(fset(a.targetSum)));
  // A loss whose factor is 0 has no part in the sum: an overlap of 0 would make it infinite.
  result.loss = 0;
  if (a.kl != 0) result.loss += a.kl * (sumLanes(logit) + m * (logTotal - logTarget));
  if (a.tv != 0) result.loss += a.tv * (1.0f - o);
  float factor = a.tv;
  if (a.logOverlap != 0) {
    result.loss -= a.logOverlap * maxLanes(vlog(fset(o)));
    factor += a.logOverlap / o;
  }
  if (!(top - top == 0.0f) || !(result.overlap == result.overlap) || !(o > 0.0f || a.logOverlap == 0))
    result.loss = __builtin_nanf("");
  if (!a.gradient) return;
  F kl = fset(a.kl * a.weight), klMass = fset(a.kl * a.weight * m), f = fset(factor * a.weight), share = fset(b);
  for (int i = 0; i < a.n; i += LANES) {
    F p = fload(a.p + i), q = fload(a.q + i);
    F own = f * q * (share - select(q < p, fset(1.0f), fset(0.0f)));
    fstore(a.gradient + i, fma(q, klMass, own) - kl * p);
  }
}

// Heads [head, head + NQ / nRows) of rows [row, row + nRows), as attendTile.
template <int NQ, bool HALF>
static void attendGradientTile(const AttentionGradientArgs& g, int row, int nRows, int head) {
  const AttentionArgs& a = g.forward;
  AttentionArgs mirror = a;
  mirror.cache = g.mirror, mirror.scale = 1.0f;
  int nHeads = NQ / nRows, slots = 0;
  size_t queries = ATTENTION_QUERIES * size_t(a.dPad), scores = ATTENTION_QUERIES * a.scoreStride;
  float *q = a.scratch, *dOut = q + queries, *sums = dOut + queries, *w = sums + queries, *d = w + scores;
  Tile t{a, q, w, sums, 0}, u{mirror, dOut, d, sums, 0};
  const AttentionRow* rows = a.rows + row;
  int common = rows[0].length;  // of all rows of a MASK run
  for (int r = 0; r < nRows; r++) {
    int end = rows[r].tail[rows[r].nTail - 1] + 1;
    slots = end > slots ? end : slots;
    for (int h = 0; h < nHeads; h++) {
      size_t at = size_t(head + h) * size_t(a.dPad);
      for (int i = 0; i < a.headDim; i++) {
        q[i * NQ + r * nHeads + h] = rows[r].q[at + size_t(i)];
        dOut[i * NQ + r * nHeads + h] = g.rows[row + r].dOut[at + size_t(i)];
      }
    }
  }
  int blocks = (slots + PAGE - 1) / PAGE, block = 0;
  constexpr int NB = blocksOf(NQ), ND = NB;
  for (; block + NB <= blocks; block += NB)
    scoreBlocks<NQ, NB, HALF>(t, block, blocks), scoreBlocks<NQ, NB, HALF>(u, block, blocks);
  for (; block < blocks; block++)
    scoreBlocks<NQ, 1, HALF>(t, block, blocks), scoreBlocks<NQ, 1, HALF>(u, block, blocks);
  for (int i = 0; i < NQ; i++) {
    const AttentionRow& own = rows[i / nHeads];
    float *weights = w + size_t(i) * a.scoreStride, *slopes = d + size_t(i) * a.scoreStride;
    float inverse = weigh(weights, own, 0, firstSeen(a, own));
    int n = own.length + own.nTail;
    for (int j = 0; j < own.nTail; j++) slopes[own.length + j] = slopes[own.tail[j]];
    F mean = fset(0), scale = fset(inverse);
    for (int j = n; j < (n + LANES - 1) / LANES * LANES; j++) slopes[j] = 0.0f;
    for (int j = 0; j < n; j += LANES) {
      F weight = fload(weights + j) * scale;
      fstore(weights + j, weight);
      mean = fma(weight, fload(slopes + j), mean);
    }
    F m = fset(sumLanes(mean)), factor = fset(a.scale);
    for (int j = 0; j < n; j += LANES) fstore(slopes + j, fload(weights + j) * (fload(slopes + j) - m) * factor);
  }
  for (int i = 0; i < NQ * a.dPad; i += LANES) fstore(sums + i, fset(0));
  for (int begin = 0; begin < common; begin += MIXED_PAGES * PAGE) {
    int end = common - begin < MIXED_PAGES * PAGE ? common : begin + MIXED_PAGES * PAGE, i = 0;
    for (; i + ND * LANES <= a.dPad; i += ND * LANES) mixValues<NQ, ND, HALF>(u, 0, begin, end, i);
    for (; i < a.dPad; i += LANES) mixValues<NQ, 1, HALF>(u, 0, begin, end, i);
  }
  for (int i = 0; i < NQ; i++) {
    const AttentionRow& own = rows[i / nHeads];
    const AttentionGradientRow& to = g.rows[row + i / nHeads];
    mixRest<HALF>(u, i, own, common);
    size_t at = size_t(head + i % nHeads) * size_t(a.dPad);
    const float *query = own.q + at, *out = to.dOut + at;
    for (int k = 0; k < a.headDim; k++) to.dq[at + size_t(k)] = sums[size_t(i) * size_t(a.dPad) + size_t(k)];
    for (int j = 0; j < own.nTail; j++) {
      size_t position = size_t(i) * a.scoreStride + size_t(own.length + j);
      F slope = fset(d[position]), weight = fset(w[position]);
      float *dk = g.rows[j].dk, *dv = g.rows[j].dv;
      for (int k = 0; k < a.dPad; k += LANES) {
        fstore(dk + k, fma(slope, fload(query + k), fload(dk + k)));
        fstore(dv + k, fma(weight, fload(out + k), fload(dv + k)));
      }
    }
  }
}

static void attentionGradient(const AttentionGradientArgs& g) {
  eachTile(g.forward, [&](auto queries, int row, int nRows, int head) {
    if (g.forward.half)
      attendGradientTile<queries.n, true>(g, row, nRows, head);
    else
      attendGradientTile<queries.n, false>(g, row, nRows, head);
  });
}

// AdamW (arXiv 1711.05101), as src/compute/gradients/adamw.ts but in float32.
static void adamW(const AdamWArgs& a, float* values, const float* gradient, float* first, float* second, size_t n) {
  auto update = [&](F v, F g0, F m, F s, F& newM, F& newS) __attribute__((always_inline)) {
    F g = g0 * fset(a.factor);
    newM = fma(fset(a.beta1), m, fset(1.0f - a.beta1) * g);
    newS = fma(fset(a.beta2), s, fset(1.0f - a.beta2) * g * g);
    F change = newM / fset(a.firstCorrection) / (fsqrt(newS / fset(a.secondCorrection)) + fset(a.epsilon));
    return v * fset(1.0f - a.learningRate * a.weightDecay) - fset(a.learningRate) * change;
  };
  size_t i = 0;
  F m, s;
  for (; i + LANES <= n; i += LANES) {
    F v = update(fload(values + i), fload(gradient + i), fload(first + i), fload(second + i), m, s);
    fstore(values + i, v), fstore(first + i, m), fstore(second + i, s);
  }
  if (i == n) return;
  float t[4][LANES] = {};
  for (size_t j = 0; i + j < n; j++)
    t[0][j] = values[i + j], t[1][j] = gradient[i + j], t[2][j] = first[i + j], t[3][j] = second[i + j];
  F v = update(fload(t[0]), fload(t[1]), fload(t[2]), fload(t[3]), m, s);
  fstore(t[0], v), fstore(t[2], m), fstore(t[3], s);
  for (size_t j = 0; i + j < n; j++) values[i + j] = t[0][j], first[i + j] = t[2][j], second[i + j] = t[3][j];
}

}  // namespace IDLM_ISA
}  // namespace idlm
