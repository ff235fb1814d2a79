// Operations per row: norms, rotation, KV cache, elementwise operations, the largest logits.
#pragma once
#include "kernels/math.h"
#include "kernels/table.h"

namespace idlm {
namespace IDLM_ISA {

// Rows are padded with zeros to a multiple of 16 floats, except heads (`cols` not a multiple of 16), which go through a
// padded copy, so that the chain of operations is the same.
static void rmsnorm(const float* x, const float* weight, int cols, float epsilon, float* out) {
  F squares = fset(0);
  int whole = cols / LANES * LANES;
  float tail[LANES];
  for (int i = 0; i < LANES; i++) tail[i] = whole + i < cols ? x[whole + i] : 0.0f;
  for (int i = 0; i < whole; i += LANES) {
    F v = fload(x + i);
    squares = fma(v, v, squares);
  }
  if (whole < cols) squares = fma(fload(tail), fload(tail), squares);
  float inverse = 1.0f / __builtin_sqrtf(sumLanes(squares) / float(cols) + epsilon);
  F scale = fset(inverse);
  for (int i = 0; i < whole; i += LANES) {
    F y = fload(x + i) * scale;
    fstore(out + i, weight ? y * fload(weight + i) : y);
  }
  for (int i = whole; i < cols; i++) {
    float y = tail[i - whole] * inverse;
    out[i] = weight ? y * weight[i] : y;
  }
}

static void add(float* x, const float* y, int n) {
  int i = 0;
  for (; i + LANES <= n; i += LANES) fstore(x + i, fload(x + i) + fload(y + i));
  for (; i < n; i++) x[i] = x[i] + y[i];
}

static void swiglu(const float* gate, const float* up, float* out, int n) {
  int i = 0;
  for (; i + LANES <= n; i += LANES) fstore(out + i, vsilu(fload(gate + i)) * fload(up + i));
  if (i == n) return;
  float g[LANES] = {}, u[LANES] = {};
  for (int j = 0; i + j < n; j++) g[j] = gate[i + j], u[j] = up[i + j];
  fstore(g, vsilu(fload(g)) * fload(u));
  for (int j = 0; i + j < n; j++) out[i + j] = g[j];
}

static void silu(float* x, int n) {
  for (int i = 0; i + LANES <= n; i += LANES) fstore(x + i, vsilu(fload(x + i)));
}

// Pairs (i, i + headDim / 2) of one head. Each product and sum is rounded separately.
static void rope(float* x, const float* cosine, const float* sine, int headDim) {
  int half = headDim / 2;
  for (int i = 0; i < half; i++) {
    float a = x[i], b = x[i + half];
    float ac = a * cosine[i], bs = b * sine[i], bc = b * cosine[i], as = a * sine[i];
    x[i] = ac - bs;
    x[i + half] = bc + as;
  }
}

// Rounds one head's K and V to the cache's type. K is stored [dim][position], V [position][dim].
static void storeKv(const float* k, const float* v, void* page, int lane, int headDim, int dPad, bool half) {
  if (half) {
    uint16_t *kp = (uint16_t*)page, *vp = kp + size_t(dPad) * PAGE + size_t(lane) * size_t(dPad);
    for (int d = 0; d < dPad; d += LANES) {
      F keys, values;
      if (d + LANES <= headDim)
        keys = fload(k + d), values = fload(v + d);
      else {
        float kt[LANES] = {}, vt[LANES] = {};
        for (int i = 0; d + i < headDim; i++) kt[i] = k[d + i], vt[i] = v[d + i];
        keys = fload(kt), values = fload(vt);
      }
      uint16_t rounded[LANES];
      halfstore(rounded, keys);
      for (int i = 0; i < LANES; i++) kp[size_t(d + i) * PAGE + size_t(lane)] = rounded[i];
      halfstore(vp + d, values);
    }
    return;
  }
  float *kp = (float*)page, *vp = kp + size_t(dPad) * PAGE + size_t(lane) * size_t(dPad);
  for (int d = 0; d < dPad; d++) {
    kp[size_t(d) * PAGE + size_t(lane)] = d < headDim ? k[d] : 0.0f;
    vp[d] = d < headDim ? v[d] : 0.0f;
  }
}

static bool argmax(const float* logits, int n, const int32_t* order, int32_t* best) {
  F largest = fset(-__builtin_inff());
  uint32_t finite = 0xffffu;
  F limit = fset(3.4028234664e38f);
  int whole = n / LANES * LANES;
  for (int i = 0; i < whole; i += LANES) {
    F v = fload(logits + i);
    largest = fmax(v, largest);
    finite &= bits(limit >= fabs(v));
  }
  float top = maxLanes(largest);
  for (int i = whole; i < n; i++) {
    top = logits[i] > top ? logits[i] : top;
    finite &= __builtin_fabsf(logits[i]) <= 3.4028234664e38f ? 0xffffu : 0u;
  }
  if (finite != 0xffffu) return false;
  int32_t id = INT32_MAX;
  F wanted = fset(top);
  for (int i = 0; i < n; i += LANES) {
    if (i + LANES <= n && bits(fload(logits + i) == wanted) == 0) continue;
    for (int j = i; j < n && j < i + LANES; j++) {
      if (logits[j] != top) continue;
      int32_t candidate = order ? order[j] : j;
      if (candidate < id) id = candidate;
    }
  }
  *best = id;
  return true;
}

// The largest value of each BLOCK of x [n], the last of which may be shorter; NaNs are ignored.
static void blockMaxima(const float* x, int n, float* out) {
  int i = 0;
  for (; i + BLOCK <= n; i += BLOCK) {
    F largest = fset(-__builtin_inff());
#pragma GCC unroll 4
    for (int j = 0; j < BLOCK; j += LANES) largest = fmax(fload(x + i + j), largest);
    *out++ = maxLanes(largest);
  }
  if (i == n) return;
  float largest = -__builtin_inff();
  for (; i < n; i++) largest = x[i] > largest ? x[i] : largest;
  *out = largest;
}

// Reads n floats (a multiple of 64), to measure the bandwidth.
static void readAll(const float* x, size_t n, float* sink) {
  F a = fset(0), b = a, c = a, d = a;
  for (size_t i = 0; i + 64 <= n; i += 64) {
    a = a + fload(x + i);
    b = b + fload(x + i + 16);
    c = c + fload(x + i + 32);
    d = d + fload(x + i + 48);
  }
  fstore(sink, (a + b) + (c + d));
}

// Products of 8-bit integers out of registers, `rounds` times as many as it returns: the arithmetic peak. Unrolled
// everywhere, or the sums would lie in memory; sums begin differently, or the compiler would compute equal ones once.
static size_t multiplyAll(size_t rounds, int32_t* sink) {
#if defined(__AVX512VNNI__)
  constexpr int CHAINS = 12;  // more than latency times throughput
  __m512i sums[CHAINS], codes = _mm512_set1_epi8(3), x = _mm512_set1_epi8(-2);
#pragma GCC unroll 12
  for (int c = 0; c < CHAINS; c++) sums[c] = _mm512_set1_epi32(c);
  for (size_t i = 0; i < rounds; i++) {
#pragma GCC unroll 12
    for (int c = 0; c < CHAINS; c++) sums[c] = _mm512_dpbusd_epi32(sums[c], codes, x);
  }
#pragma GCC unroll 12
  for (int c = 1; c < CHAINS; c++) sums[0] = _mm512_add_epi32(sums[0], sums[c]);
  _mm512_storeu_si512(sink, sums[0]);
  return CHAINS * 64;
#elif defined(__AVX2__)
  constexpr int CHAINS = 6;
  __m256i sums[CHAINS], codes[CHAINS], x = _mm256_set1_epi8(-2);
#pragma GCC unroll 6
  for (int c = 0; c < CHAINS; c++) sums[c] = _mm256_setzero_si256(), codes[c] = _mm256_set1_epi8(3);
  for (size_t i = 0; i < rounds; i++) {
#pragma GCC unroll 6
    for (int c = 0; c < CHAINS; c++) {
      // Otherwise the compiler would multiply once, before the loop.
      __asm__ volatile("" : "+x"(codes[c]));
      sums[c] = _mm256_add_epi16(sums[c], _mm256_maddubs_epi16(codes[c], x));
    }
  }
#pragma GCC unroll 6
  for (int c = 1; c < CHAINS; c++) sums[0] = _mm256_add_epi16(sums[0], sums[c]);
  _mm256_storeu_si256((__m256i*)sink, sums[0]);
  return CHAINS * 32;
#else
  constexpr int CHAINS = 4;
  I sums[CHAINS], factor = iset(3);
#pragma GCC unroll 4
  for (int c = 0; c < CHAINS; c++) sums[c] = iset(c);
  for (size_t i = 0; i < rounds; i++) {
#pragma GCC unroll 4
    for (int c = 0; c < CHAINS; c++) sums[c] = imul(sums[c], factor) + factor;
  }
#pragma GCC unroll 4
  for (int c = 1; c < CHAINS; c++) sums[0] = sums[0] + sums[c];
  memcpy(sink, &sums[0], sizeof(I));
  return CHAINS * LANES;
#endif
}

static void mathTest(const float* x, float* y, int n, int which) {
  for (int i = 0; i + LANES <= n; i += LANES) {
    F v = fload(x + i);
    fstore(y + i, which == 0 ? vexp(v) : which == 1 ? vlog(v) : vsilu(v));
  }
}

}  // namespace IDLM_ISA
}  // namespace idlm
