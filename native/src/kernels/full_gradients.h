// Kernels of full training, where gradients also flow to the rows that a row attends to.
#pragma once
#include "kernels/math.h"
#include "kernels/table.h"

namespace idlm {
namespace IDLM_ISA {

// out[j] = x . column j of a matrix by dimension, of SCORE_SLOTS columns.
IDLM_INLINE void scoreSlots(const float* x, int headDim, const float* columns, size_t stride, float* out) {
  constexpr int N = SCORE_SLOTS / LANES;
  F sums[N];
#pragma GCC unroll 4
  for (int i = 0; i < N; i++) sums[i] = fset(0);
  for (int d = 0; d < headDim; d++) {
    F factor = fset(x[d]);
    const float* column = columns + size_t(d) * stride;
#pragma GCC unroll 4
    for (int i = 0; i < N; i++) sums[i] = fma(factor, fload(column + i * LANES), sums[i]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < N; i++) fstore(out + i * LANES, sums[i]);
}

// Of rows [0, length) and [tail, tail + nTail), one after the other.
static void scoreAncestors(const float* x, int headDim, const float* columns, size_t stride, int length, int tail,
                           int nTail, float* out) {
  for (int j = 0; j < length; j += SCORE_SLOTS) scoreSlots(x, headDim, columns + j, stride, out + j);
  for (int j = 0; j < nTail; j += SCORE_SLOTS) scoreSlots(x, headDim, columns + tail + j, stride, out + length + j);
}

// For n rows: dq += slope k, dk += slope q, dv += weight dOut, N vectors of each.
template <int N>
IDLM_INLINE void mixAncestors(const float* slopes, const float* weights, int n, size_t stride, const float* k,
                              float* dk, float* dv, const float* q, const float* dOut, float* dq) {
  F query[N], out[N], sum[N];
  for (int i = 0; i < N; i++)
    query[i] = fload(q + i * LANES), out[i] = fload(dOut + i * LANES), sum[i] = fload(dq + i * LANES);
  for (int j = 0; j < n; j++) {
    F slope = fset(slopes[j]), weight = fset(weights[j]);
    const float* keys = k + size_t(j) * stride;
    float *ks = dk + size_t(j) * stride, *vs = dv + size_t(j) * stride;
#pragma GCC unroll 4
    for (int i = 0; i < N; i++) {
      sum[i] = fma(slope, fload(keys + i * LANES), sum[i]);
      fstore(ks + i * LANES, fma(slope, query[i], fload(ks + i * LANES)));
      fstore(vs + i * LANES, fma(weight, out[i], fload(vs + i * LANES)));
    }
  }
  for (int i = 0; i < N; i++) fstore(dq + i * LANES, sum[i]);
}

// The gradients of src/compute/reference/operations/attention.ts, row by row.
static void ancestorGradient(const AncestorGradientArgs& a) {
  const size_t slots = paddedSlots(a.nRows), head = paddedHead(a.headDim), n = size_t(a.nRows), dim = size_t(a.headDim);
  float *kColumns = a.scratch, *vColumns = kColumns + head * slots, *k = vColumns + head * slots, *dk = k + n * head,
        *dv = dk + n * head, *q = dv + n * head, *dOut = q + head, *dq = dOut + head, *weights = dq + head,
        *slopes = weights + slots;
  memset(a.scratch, 0, ancestorGradientScratch(a.headDim, a.nRows) * sizeof(float));
  for (size_t r = 0; r < n; r++)
    for (size_t d = 0; d < dim; d++) {
      k[r * head + d] = kColumns[d * slots + r] = a.k[r * a.kStride + d];
      vColumns[d * slots + r] = a.v[r * a.vStride + d];
    }
  for (int r = 0; r < a.nRows; r++) {
    int length = a.lengths[r], tail = a.tails[r], nTail = r + 1 - tail, all = length + nTail;
    int whole = (all + LANES - 1) / LANES * LANES;
    for (size_t h = 0; h < size_t(a.group); h++) {
      for (size_t d = 0; d < dim; d++) {
        q[d] = a.q[size_t(r) * a.qStride + h * dim + d] * a.scale;
        dOut[d] = a.dOut[size_t(r) * a.outStride + h * dim + d];
      }
      scoreAncestors(q, a.headDim, kColumns, slots, length, tail, nTail, weights);
      scoreAncestors(dOut, a.headDim, vColumns, slots, length, tail, nTail, slopes);
      for (int j = all; j < whole; j++) weights[j] = -__builtin_inff(), slopes[j] = 0;
      F largest = fset(-__builtin_inff()), sum = fset(0), mean = fset(0);
      for (int j = 0; j < whole; j += LANES) largest = fmax(fload(weights + j), largest);
      F top = fset(maxLanes(largest));
      for (int j = 0; j < whole; j += LANES) {
        F e = vexp(fload(weights + j) - top);
        fstore(weights + j, e);
        sum = sum + e, mean = fma(e, fload(slopes + j), mean);
      }
      float total = sumLanes(sum);
      F factor = fset(1.0f / total), m = fset(sumLanes(mean) / total);
      for (int j = 0; j < whole; j += LANES) {
        F weight = fload(weights + j) * factor;
        fstore(weights + j, weight), fstore(slopes + j, weight * (fload(slopes + j) - m));
      }
      // The scale is part of q, and is applied to dq at the end.
      for (size_t d = 0; d < head; d += LANES) fstore(dq + d, fset(0));
      auto mix = [&](int from, int first, int count) __attribute__((always_inline)) {
        const float *s = slopes + from, *w = weights + from;
        size_t at = size_t(first) * head, d = 0;
        for (; d + 2 * LANES <= head; d += 2 * LANES)
          mixAncestors<2>(s, w, count, head, k + at + d, dk + at + d, dv + at + d, q + d, dOut + d, dq + d);
        for (; d < head; d += LANES)
          mixAncestors<1>(s, w, count, head, k + at + d, dk + at + d, dv + at + d, q + d, dOut + d, dq + d);
      };
      mix(0, 0, length);
      mix(length, tail, nTail);
      for (size_t d = 0; d < dim; d++) a.dq[size_t(r) * a.dqStride + h * dim + d] = dq[d] * a.scale;
    }
  }
  for (size_t r = 0; r < n; r++) {
    memcpy(a.dk + r * a.dkStride, dk + r * head, dim * sizeof(float));
    memcpy(a.dv + r * a.dvStride, dv + r * head, dim * sizeof(float));
  }
}

// Logits behind the vocabulary are -infinity. NaN if one of the others is not finite.
static float crossEntropy(float* logits, int n, int target, float weight, bool wantsGradient) {
  F largest = fset(-__builtin_inff()), sum = fset(0);
  for (int i = 0; i < n; i += LANES) largest = fmax(fload(logits + i), largest);
  float top = maxLanes(largest), own = logits[target];
  for (int i = 0; i < n; i += LANES) {
    F e = vexp(fload(logits + i) - fset(top));
    sum = sum + e;
    if (wantsGradient) fstore(logits + i, e);
  }
  float total = sumLanes(sum);
  float loss = maxLanes(vlog(fset(total))) - (own - top);
  if (!(top - top == 0.0f) || !(total - total == 0.0f)) loss = __builtin_nanf("");
  if (!wantsGradient) return loss;
  F factor = fset(weight / total);
  for (int i = 0; i < n; i += LANES) fstore(logits + i, fload(logits + i) * factor);
  logits[target] -= weight;
  return loss;
}

}  // namespace IDLM_ISA
}  // namespace idlm
