// The parts of sampling that process the whole vocabulary.
#pragma once
#include "kernels/math.h"
#include "kernels/table.h"

namespace idlm {
namespace IDLM_ISA {

// e[i] = exp(x[i] - largest); returns their sum, by sixteen chains (i mod 16) and the fixed tree.
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

// Gumbel noise -ln(-ln u) = -ln(-ln(1 - v)), v = (bits + 1/2) / 2^32. Small v gives large noise: there ln(1 - v) is
// computed from -v directly, without loss of precision; v close to 1 is capped at 1 - 2^-24. `half`: half of the bits,
// as a float.
IDLM_INLINE F halfOf(I random) { return toFloat(shr<1>(random)); }  // unsigned to float without a sign

IDLM_INLINE F gumbel(I random, F half) {
  F low = toFloat(random & iset(1));
  F v = fma(fma(half, fset(2.0f), low), fset(0x1p-32f), fset(0x1p-33f));
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
    I random = philox2(iload(lanes), word, key);
    F y = fload(t) + gumbel(random, halfOf(random));
    fstore(t, y);
    for (int j = 0; j < m; j++) out[i + j] = t[j];
  }
}

// Largest halfOf(random) for which a token with a score up to `most` can reach `least` with its noise; below 0: no
// token can. Noise is at most -ln v (its computed value less than 1e-3 above), so if most + d < least, tokens with -ln
// v < d cannot; this addition is that of score and noise, with the same rounding. If there is no bound, or least is
// -inf, all tokens can.
IDLM_INLINE F mostHalf(F most, F least) {
  constexpr float LARGEST_NOISE = 22.9f;  // v = 2^-33
  F infinity = fset(__builtin_inff()), lowest = fset(-__builtin_inff()), slack = fset(1e-3f);
  F d = (least - most) * fset(1.0f - 0x1p-20f) - slack;
  F limit = fma(vexp(slack - d), fset(0x1.001p31f), fset(1.0f));
  limit = select(d > fset(LARGEST_NOISE), fset(-1.0f), limit);
  limit = select(most + d < least, limit, infinity);
  limit = select(most > lowest, limit, fset(-1.0f));
  return select(least > lowest, limit, infinity);
}

// Scores [n] with noise, which is not added to tokens that cannot reach the required score.
struct NoisyScores {
  const float* x;
  const int32_t* ids;  // null: i
  int n;
  uint32_t word, key;

  // Calls take(i, y) for those of i .. i + LANES - 1 whose score with noise y may be at least `least`.
  template <typename Take>
  IDLM_INLINE void visit(int i, float limit, float least, Take take) const {
    static const int32_t steps[LANES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    int m = n - i < LANES ? n - i : LANES;
    int32_t last[LANES] = {};
    float scores[LANES];
    for (int j = 0; ids && m < LANES && j < m; j++) last[j] = ids[i + j];
    I random = philox2(!ids ? iset(i) + iload(steps) : iload(m < LANES ? last : ids + i), word, key);
    F half = halfOf(random);
    if (bits(fset(limit) >= half) == 0) return;
    const float* own = x + i;
    if (m < LANES) {
      for (int j = 0; j < LANES; j++) scores[j] = j < m ? x[i + j] : 0.0f;
      own = scores;
    }
    F y = fload(own) + gumbel(random, half);
    uint32_t found = bits(y >= fset(least));
    fstore(scores, y);
    for (int j = 0; j < m; j++)
      if (found >> j & 1u) take(i + j, scores[j]);
  }

  IDLM_INLINE float largestOf(int block) const {
    int begin = block * BLOCK;
    if (begin + BLOCK <= n) {
      F largest = fset(-__builtin_inff());
#pragma GCC unroll 4
      for (int j = 0; j < BLOCK; j += LANES) largest = fmax(fload(x + begin + j), largest);
      return maxLanes(largest);
    }
    float largest = -__builtin_inff();
    for (int i = begin; i < n; i++) largest = x[i] > largest ? x[i] : largest;
    return largest;
  }

  IDLM_INLINE int blocks() const { return (n + BLOCK - 1) / BLOCK; }

  // The same for all; `least` may increase meanwhile.
  template <typename Take>
  IDLM_INLINE void visitAll(const float& least, Take take) const {
    float maxima[LANES] = {}, limits[LANES];
    for (int first = 0; first < blocks(); first += LANES) {
      int some = blocks() - first < LANES ? blocks() - first : LANES;
      for (int b = 0; b < some; b++) maxima[b] = largestOf(first + b);
      fstore(limits, mostHalf(fload(maxima), fset(least)));
      for (int b = 0; b < some; b++) {
        if (limits[b] < 0) continue;
        int begin = (first + b) * BLOCK;
        for (int i = begin; i < begin + BLOCK && i < n; i += LANES) visit(i, limits[b], least, take);
      }
    }
  }
};

// Index of the largest x[i] + noise of token ids[i], the lowest id on a tie; -1 if none is above minus infinity. The
// block with the largest score comes first: then few others can win.
static int noisyBest(const float* x, const int32_t* ids, int n, uint32_t word, uint32_t key) {
  NoisyScores scores = {x, ids, n, word, key};
  int best = -1, likely = 0;
  float most = -__builtin_inff(), largest = most;
  auto take = [&](int i, float y) {
    if (!(y > -__builtin_inff())) return;
    if (y > most || (y == most && (ids ? ids[i] < ids[best] : i < best))) most = y, best = i;
  };
  for (int b = 0; b < scores.blocks(); b++) {
    float own = scores.largestOf(b);
    if (own > largest) largest = own, likely = b;
  }
  for (int i = likely * BLOCK; i < (likely + 1) * BLOCK && i < n; i += LANES)
    scores.visit(i, __builtin_inff(), most, take);
  scores.visitAll(most, take);
  return best;
}

// Indices, ascending, with x[i] + noise of token ids[i] >= least, and these sums; returns their number.
static int noisyFrom(const float* x, const int32_t* ids, int n, uint32_t word, uint32_t key, float least,
                     int32_t* indices, float* noisy) {
  NoisyScores scores = {x, ids, n, word, key};
  int count = 0;
  scores.visitAll(least, [&](int i, float y) { indices[count] = i, noisy[count++] = y; });
  return count;
}

// Indices, ascending, with x[i] >= least; returns their number.
static int indicesFrom(const float* x, int n, float least, int32_t* indices) {
  int count = 0, i = 0;
  for (; i + LANES <= n; i += LANES) {
    uint32_t found = bits(fload(x + i) >= fset(least));
    for (; found != 0; found &= found - 1) indices[count++] = i + __builtin_ctz(found);
  }
  for (; i < n; i++)
    if (x[i] >= least) indices[count++] = i;
  return count;
}

}  // namespace IDLM_ISA
}  // namespace idlm
