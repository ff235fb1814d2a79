// Parts of sampling that look at every token of the vocabulary.
#pragma once
#include "math.h"
#include "table.h"

namespace idlm {
namespace IDLM_ISA {

// e[i] = exp(x[i] - largest); returns their sum: sixteen chains (i mod 16), then the fixed tree.
static float exponentials(const float* x, int n, float largest, float* e) {
  F sum = fset(0), top = fset(largest);
  int i = 0;
  for (; i + LANES <= n; i += LANES) {
    F v = vexp(fload(x + i) - top);
    if (e) fstore(e + i, v);
    sum = sum + v;
  }
  if (i < n) {
    float t[LANES];
    for (int j = 0; j < LANES; j++) t[j] = i + j < n ? x[i + j] : -__builtin_inff();
    F v = vexp(fload(t) - top);
    sum = sum + v;
    fstore(t, v);
    for (int j = 0; e && i + j < n; j++) e[i + j] = t[j];
  }
  return sumLanes(sum);
}

static float logarithm(float x) {
  float t[LANES];
  fstore(t, vlog(fset(x)));
  return t[0];
}

static void divide(float* x, int n, float by) {
  int i = 0;
  for (; i + LANES <= n; i += LANES) fstore(x + i, fload(x + i) / fset(by));
  for (; i < n; i++) x[i] = x[i] / by;
}

// Philox2x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) of counters (token, word) by lane.
IDLM_INLINE I philox2(I token, uint32_t word, uint32_t key) {
  I a = token, b = iset(int32_t(word)), m = iset(int32_t(0xD256D193u));
#pragma GCC unroll 10
  for (int round = 0; round < 10; round++) {
    I high = imulhi(m, a), low = imul(m, a);
    a = high ^ iset(int32_t(key)) ^ b;
    b = low;
    key += 0x9E3779B9u;
  }
  return a;
}

// Gumbel noise -ln(-ln u) = -ln(-ln(1 - v)), v = (bits + 1/2) / 2^32. Small v is large noise: there ln(1 - v) is taken
// from -v itself, so that nothing is lost; v close to 1 is capped at 1 - 2^-24.
IDLM_INLINE F gumbel(I random) {
  F high = toFloat(shr<1>(random)), low = toFloat(random & iset(1));  // unsigned to float without a sign
  F v = fma(fma(high, fset(2.0f), low), fset(0x1p-32f), fset(0x1p-33f));
  v = fmin(v, fset(1.0f - 0x1p-24f));
  F w = fset(1.0f) - v, negative = fset(0.0f) - v;
  F near = logOf(negative, fset(0.0f)), far = vlog(w);
  F e = fset(0.0f) - select(v < fset(0.29f), near, far);
  return fset(0.0f) - vlog(e);
}

// out[i] = x[i] + noise of token ids[i] (null: i).
static void addGumbel(const float* x, const int32_t* ids, int n, uint32_t word, uint32_t key, float* out) {
  int32_t lanes[LANES];
  for (int i = 0; i < n; i += LANES) {
    int m = n - i < LANES ? n - i : LANES;
    float t[LANES];
    for (int j = 0; j < LANES; j++) {
      lanes[j] = ids ? (j < m ? ids[i + j] : 0) : i + j;
      t[j] = j < m ? x[i + j] : 0.0f;
    }
    F y = fload(t) + gumbel(philox2(iload(lanes), word, key));
    fstore(t, y);
    for (int j = 0; j < m; j++) out[i + j] = t[j];
  }
}

}  // namespace IDLM_ISA
}  // namespace idlm
