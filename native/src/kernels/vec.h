// Sixteen lanes in three implementations: AVX-512, AVX2 (two halves) and plain C++. Every operation gives the same bits
// in all three, which is the basis of "same bits on every instruction set". Only IEEE-exact operations are used
// (+ - * / sqrt fma, conversions, integers); math.h builds transcendental functions from them.
//
// Included by one translation unit per instruction set, which defines IDLM_ISA as its namespace. Kernels must not use
// anything from std:: that a linker might merge across translation units (an AVX-512 instance of a template would
// then run on a CPU without AVX-512).
#pragma once
#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

// Not inlined with sanitizers: they check calls as well, and compile thirty times as fast.
#ifdef IDLM_NO_FORCED_INLINE
#define IDLM_INLINE inline
#else
#define IDLM_INLINE inline __attribute__((always_inline))
#endif

namespace idlm {
namespace IDLM_ISA {

constexpr int LANES = 16;

// IEEE binary16 <-> binary32, round to nearest even.
IDLM_INLINE float halfToFloat(uint16_t h) {
  uint32_t sign = uint32_t(h & 0x8000u) << 16, exponent = (h >> 10) & 31u, mantissa = h & 0x3ffu, bits;
  if (exponent == 31)
    bits = sign | 0x7f800000u | (mantissa << 13);
  else if (exponent != 0)
    bits = sign | ((exponent + 112) << 23) | (mantissa << 13);
  else if (mantissa == 0)
    bits = sign;
  else {
    int shift = __builtin_clz(mantissa) - 21;  // normalise a subnormal
    bits = sign | (uint32_t(113 - shift) << 23) | (((mantissa << shift) & 0x3ffu) << 13);
  }
  float f;
  memcpy(&f, &bits, 4);
  return f;
}

IDLM_INLINE uint16_t floatToHalf(float f) {
  uint32_t bits;
  memcpy(&bits, &f, 4);
  uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return uint16_t(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return uint16_t(sign | 0x7c00u);  // 65520 and above round to infinity
  if (magnitude < 0x33000000u) return uint16_t(sign);             // below half of the smallest subnormal
  uint32_t exponent = magnitude >> 23, mantissa = (magnitude & 0x7fffffu) | 0x800000u;
  uint32_t shift = exponent < 113 ? 126 - exponent : 13;
  uint32_t kept = mantissa >> shift, rest = mantissa & ((1u << shift) - 1), half = 1u << (shift - 1);
  kept += (rest > half || (rest == half && (kept & 1u))) ? 1u : 0u;
  // `kept` includes the hidden bit of a normal number; adding it (with any carry) increments the exponent field.
  return uint16_t(sign | (exponent < 113 ? kept : kept + ((exponent - 113) << 10)));
}

#if defined(__AVX512F__)

struct F {
  __m512 v;
};
struct I {
  __m512i v;
};
struct M {
  __mmask16 v;
};

IDLM_INLINE F fset(float x) { return {_mm512_set1_ps(x)}; }
IDLM_INLINE F fload(const float* p) { return {_mm512_loadu_ps(p)}; }
IDLM_INLINE void fstore(float* p, F a) { _mm512_storeu_ps(p, a.v); }
IDLM_INLINE F operator+(F a, F b) { return {_mm512_add_ps(a.v, b.v)}; }
IDLM_INLINE F operator-(F a, F b) { return {_mm512_sub_ps(a.v, b.v)}; }
IDLM_INLINE F operator*(F a, F b) { return {_mm512_mul_ps(a.v, b.v)}; }
IDLM_INLINE F operator/(F a, F b) { return {_mm512_div_ps(a.v, b.v)}; }
IDLM_INLINE F fma(F a, F b, F c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
IDLM_INLINE F fmax(F a, F b) { return {_mm512_max_ps(a.v, b.v)}; }  // a > b ? a : b
IDLM_INLINE F fmin(F a, F b) { return {_mm512_min_ps(a.v, b.v)}; }  // a < b ? a : b
IDLM_INLINE F fsqrt(F a) { return {_mm512_sqrt_ps(a.v)}; }
IDLM_INLINE F fabs(F a) { return {_mm512_abs_ps(a.v)}; }
IDLM_INLINE M operator<(F a, F b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
IDLM_INLINE M operator>(F a, F b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ)}; }
IDLM_INLINE M operator>=(F a, F b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ)}; }
IDLM_INLINE M operator==(F a, F b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
IDLM_INLINE F select(M m, F a, F b) { return {_mm512_mask_blend_ps(m.v, b.v, a.v)}; }  // m ? a : b
IDLM_INLINE uint32_t bits(M m) { return m.v; }
IDLM_INLINE M maskOf(uint32_t b) { return {__mmask16(b)}; }
IDLM_INLINE I iset(int32_t x) { return {_mm512_set1_epi32(x)}; }
IDLM_INLINE I iload(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
IDLM_INLINE void istore(int32_t* p, I a) { _mm512_storeu_si512(p, a.v); }
IDLM_INLINE I operator+(I a, I b) { return {_mm512_add_epi32(a.v, b.v)}; }
IDLM_INLINE I operator-(I a, I b) { return {_mm512_sub_epi32(a.v, b.v)}; }
IDLM_INLINE I operator&(I a, I b) { return {_mm512_and_si512(a.v, b.v)}; }
IDLM_INLINE I operator|(I a, I b) { return {_mm512_or_si512(a.v, b.v)}; }
IDLM_INLINE I operator^(I a, I b) { return {_mm512_xor_si512(a.v, b.v)}; }
IDLM_INLINE I imul(I a, I b) { return {_mm512_mullo_epi32(a.v, b.v)}; }  // low 32 bits
IDLM_INLINE I imulhi(I a, I b) {                                         // high 32 bits, unsigned
  __m512i even = _mm512_srli_epi64(_mm512_mul_epu32(a.v, b.v), 32);
  __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(a.v, 32), _mm512_srli_epi64(b.v, 32));
  return {_mm512_mask_blend_epi32(0xaaaa, even, odd)};
}
template <int N>
IDLM_INLINE I shl(I a) {
  return {_mm512_slli_epi32(a.v, N)};
}
template <int N>
IDLM_INLINE I shr(I a) {
  return {_mm512_srli_epi32(a.v, N)};
}  // logical
template <int N>
IDLM_INLINE I sar(I a) {
  return {_mm512_srai_epi32(a.v, N)};
}  // arithmetic
IDLM_INLINE M ieq(I a, I b) { return {_mm512_cmpeq_epi32_mask(a.v, b.v)}; }
IDLM_INLINE M ilt(I a, I b) { return {_mm512_cmplt_epi32_mask(a.v, b.v)}; }  // signed
IDLM_INLINE I iselect(M m, I a, I b) { return {_mm512_mask_blend_epi32(m.v, b.v, a.v)}; }
IDLM_INLINE F toFloat(I a) { return {_mm512_cvtepi32_ps(a.v)}; }  // signed, nearest even
IDLM_INLINE F asFloat(I a) { return {_mm512_castsi512_ps(a.v)}; }
IDLM_INLINE I asInt(F a) { return {_mm512_castps_si512(a.v)}; }
IDLM_INLINE F halfload(const uint16_t* p) { return {_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p))}; }
IDLM_INLINE void halfstore(uint16_t* p, F a) {
  _mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
IDLM_INLINE F bfload(const uint16_t* p) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p)), 16))};
}
IDLM_INLINE I bytesload(const uint8_t* p) { return {_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)p))}; }
IDLM_INLINE I bytesload(const int8_t* p) { return {_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)p))}; }
// Low byte of each lane.
IDLM_INLINE void bytestore(int8_t* p, I a) { _mm_storeu_si128((__m128i*)p, _mm512_cvtepi32_epi8(a.v)); }

#elif defined(__AVX2__)

struct F {
  __m256 a, b;
};
struct I {
  __m256i a, b;
};
struct M {
  __m256 a, b;
};

IDLM_INLINE F fset(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
IDLM_INLINE F fload(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
IDLM_INLINE void fstore(float* p, F x) { _mm256_storeu_ps(p, x.a), _mm256_storeu_ps(p + 8, x.b); }
IDLM_INLINE F operator+(F x, F y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
IDLM_INLINE F operator-(F x, F y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
IDLM_INLINE F operator*(F x, F y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
IDLM_INLINE F operator/(F x, F y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
IDLM_INLINE F fma(F x, F y, F z) { return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)}; }
IDLM_INLINE F fmax(F x, F y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
IDLM_INLINE F fmin(F x, F y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
IDLM_INLINE F fsqrt(F x) { return {_mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b)}; }
IDLM_INLINE F fabs(F x) {
  __m256 m = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  return {_mm256_and_ps(x.a, m), _mm256_and_ps(x.b, m)};
}
IDLM_INLINE M operator<(F x, F y) { return {_mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ)}; }
IDLM_INLINE M operator>(F x, F y) { return {_mm256_cmp_ps(x.a, y.a, _CMP_GT_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_GT_OQ)}; }
IDLM_INLINE M operator>=(F x, F y) {
  return {_mm256_cmp_ps(x.a, y.a, _CMP_GE_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_GE_OQ)};
}
IDLM_INLINE M operator==(F x, F y) {
  return {_mm256_cmp_ps(x.a, y.a, _CMP_EQ_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_EQ_OQ)};
}
IDLM_INLINE F select(M m, F x, F y) { return {_mm256_blendv_ps(y.a, x.a, m.a), _mm256_blendv_ps(y.b, x.b, m.b)}; }
IDLM_INLINE uint32_t bits(M m) { return uint32_t(_mm256_movemask_ps(m.a)) | (uint32_t(_mm256_movemask_ps(m.b)) << 8); }
IDLM_INLINE M maskOf(uint32_t b) {
  __m256i lanes = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  auto half = [&](uint32_t x) {
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(int(x)), lanes), lanes));
  };
  return {half(b & 255), half(b >> 8)};
}
IDLM_INLINE I iset(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
IDLM_INLINE I iload(const int32_t* p) {
  return {_mm256_loadu_si256((const __m256i*)p), _mm256_loadu_si256((const __m256i*)(p + 8))};
}
IDLM_INLINE void istore(int32_t* p, I x) {
  _mm256_storeu_si256((__m256i*)p, x.a), _mm256_storeu_si256((__m256i*)(p + 8), x.b);
}
IDLM_INLINE I operator+(I x, I y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
IDLM_INLINE I operator-(I x, I y) { return {_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)}; }
IDLM_INLINE I operator&(I x, I y) { return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)}; }
IDLM_INLINE I operator|(I x, I y) { return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)}; }
IDLM_INLINE I operator^(I x, I y) { return {_mm256_xor_si256(x.a, y.a), _mm256_xor_si256(x.b, y.b)}; }
IDLM_INLINE I imul(I x, I y) { return {_mm256_mullo_epi32(x.a, y.a), _mm256_mullo_epi32(x.b, y.b)}; }
IDLM_INLINE I imulhi(I x, I y) {
  auto half = [](__m256i p, __m256i q) {
    __m256i even = _mm256_srli_epi64(_mm256_mul_epu32(p, q), 32);
    __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(p, 32), _mm256_srli_epi64(q, 32));
    return _mm256_blend_epi32(even, odd, 0xaa);
  };
  return {half(x.a, y.a), half(x.b, y.b)};
}
template <int N>
IDLM_INLINE I shl(I x) {
  return {_mm256_slli_epi32(x.a, N), _mm256_slli_epi32(x.b, N)};
}
template <int N>
IDLM_INLINE I shr(I x) {
  return {_mm256_srli_epi32(x.a, N), _mm256_srli_epi32(x.b, N)};
}
template <int N>
IDLM_INLINE I sar(I x) {
  return {_mm256_srai_epi32(x.a, N), _mm256_srai_epi32(x.b, N)};
}
IDLM_INLINE M ieq(I x, I y) {
  return {_mm256_castsi256_ps(_mm256_cmpeq_epi32(x.a, y.a)), _mm256_castsi256_ps(_mm256_cmpeq_epi32(x.b, y.b))};
}
IDLM_INLINE M ilt(I x, I y) {
  return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(y.a, x.a)), _mm256_castsi256_ps(_mm256_cmpgt_epi32(y.b, x.b))};
}
IDLM_INLINE F asFloat(I x) { return {_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)}; }
IDLM_INLINE I asInt(F x) { return {_mm256_castps_si256(x.a), _mm256_castps_si256(x.b)}; }
IDLM_INLINE I iselect(M m, I x, I y) { return asInt(select(m, asFloat(x), asFloat(y))); }
IDLM_INLINE F toFloat(I x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
IDLM_INLINE F halfload(const uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p)),
          _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(p + 8)))};
}
IDLM_INLINE void halfstore(uint16_t* p, F x) {
  _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  _mm_storeu_si128((__m128i*)(p + 8), _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
IDLM_INLINE F bfload(const uint16_t* p) {
  auto half = [](const uint16_t* q) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)q)), 16));
  };
  return {half(p), half(p + 8)};
}
IDLM_INLINE I bytesload(const uint8_t* p) {
  return {_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p)),
          _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)(p + 8)))};
}
IDLM_INLINE I bytesload(const int8_t* p) {
  return {_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p)),
          _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)(p + 8)))};
}
IDLM_INLINE void bytestore(int8_t* p, I x) {
  const __m256i low = _mm256_set1_epi32(255);  // unsigned, so that packing does not saturate
  __m256i words = _mm256_packus_epi32(_mm256_and_si256(x.a, low), _mm256_and_si256(x.b, low));
  words = _mm256_permute4x64_epi64(words, 0xd8);
  _mm_storeu_si128((__m128i*)p, _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}

#else

struct F {
  float v[16];
};
struct I {
  int32_t v[16];
};
struct M {
  int32_t v[16];
};  // 0 or 1

#define IDLM_LANES(T, expression)                     \
  {                                                   \
    T r;                                              \
    for (int i = 0; i < 16; i++) r.v[i] = expression; \
    return r;                                         \
  }
IDLM_INLINE uint32_t floatBits(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  return u;
}
IDLM_INLINE float bitsFloat(uint32_t u) {
  float f;
  memcpy(&f, &u, 4);
  return f;
}
IDLM_INLINE F fset(float x) IDLM_LANES(F, x) IDLM_INLINE F fload(const float* p) IDLM_LANES(F, p[i]) IDLM_INLINE
    void fstore(float* p, F a) {
  for (int i = 0; i < 16; i++) p[i] = a.v[i];
}
IDLM_INLINE F operator+(F a, F b) IDLM_LANES(F, a.v[i] + b.v[i]) IDLM_INLINE F operator-(F a, F b)
    IDLM_LANES(F, a.v[i] - b.v[i]) IDLM_INLINE F operator*(F a, F b)
        IDLM_LANES(F, a.v[i] * b.v[i]) IDLM_INLINE F operator/(F a, F b) IDLM_LANES(F, a.v[i] / b.v[i]) IDLM_INLINE F
    fma(F a, F b, F c) IDLM_LANES(F, __builtin_fmaf(a.v[i], b.v[i], c.v[i])) IDLM_INLINE F fmax(F a, F b)
        IDLM_LANES(F, a.v[i] > b.v[i] ? a.v[i] : b.v[i]) IDLM_INLINE F fmin(F a, F b)
            IDLM_LANES(F, a.v[i] < b.v[i] ? a.v[i] : b.v[i]) IDLM_INLINE F fsqrt(F a)
                IDLM_LANES(F, __builtin_sqrtf(a.v[i])) IDLM_INLINE F fabs(F a)
                    IDLM_LANES(F, bitsFloat(floatBits(a.v[i]) & 0x7fffffffu)) IDLM_INLINE M operator<(F a, F b)
                        IDLM_LANES(M, a.v[i] < b.v[i]) IDLM_INLINE M operator>(F a, F b)
                            IDLM_LANES(M, a.v[i] > b.v[i]) IDLM_INLINE M operator>=(F a, F b)
                                IDLM_LANES(M, a.v[i] >= b.v[i]) IDLM_INLINE M operator==(F a, F b)
                                    IDLM_LANES(M, a.v[i] == b.v[i]) IDLM_INLINE F select(M m, F a, F b)
                                        IDLM_LANES(F, m.v[i] ? a.v[i] : b.v[i]) IDLM_INLINE uint32_t bits(M m) {
  uint32_t r = 0;
  for (int i = 0; i < 16; i++) r |= uint32_t(m.v[i]) << i;
  return r;
}
IDLM_INLINE M maskOf(uint32_t b) IDLM_LANES(M, int32_t((b >> i) & 1u)) IDLM_INLINE I iset(int32_t x)
    IDLM_LANES(I, x) IDLM_INLINE I iload(const int32_t* p) IDLM_LANES(I, p[i]) IDLM_INLINE
    void istore(int32_t* p, I a) {
  for (int i = 0; i < 16; i++) p[i] = a.v[i];
}
IDLM_INLINE I operator+(I a, I b)
    IDLM_LANES(I, int32_t(uint32_t(a.v[i]) + uint32_t(b.v[i]))) IDLM_INLINE I operator-(I a, I b)
        IDLM_LANES(I, int32_t(uint32_t(a.v[i]) - uint32_t(b.v[i]))) IDLM_INLINE I operator&(I a, I b)
            IDLM_LANES(I, a.v[i] & b.v[i]) IDLM_INLINE I operator|(I a, I b)
                IDLM_LANES(I, a.v[i] | b.v[i]) IDLM_INLINE I operator^(I a, I b)
                    IDLM_LANES(I, a.v[i] ^ b.v[i]) IDLM_INLINE I
    imul(I a, I b) IDLM_LANES(I, int32_t(uint32_t(a.v[i]) * uint32_t(b.v[i]))) IDLM_INLINE I imulhi(I a, I b)
        IDLM_LANES(I, int32_t((uint64_t(uint32_t(a.v[i])) * uint32_t(b.v[i])) >> 32)) template <int N>
        IDLM_INLINE I shl(I a) IDLM_LANES(I, int32_t(uint32_t(a.v[i]) << N)) template <int N>
        IDLM_INLINE I shr(I a) IDLM_LANES(I, int32_t(uint32_t(a.v[i]) >> N)) template <int N>
        IDLM_INLINE I sar(I a) IDLM_LANES(I, a.v[i] >> N) IDLM_INLINE M ieq(I a, I b)
            IDLM_LANES(M, a.v[i] == b.v[i]) IDLM_INLINE M ilt(I a, I b) IDLM_LANES(M, a.v[i] < b.v[i]) IDLM_INLINE I
    iselect(M m, I a, I b) IDLM_LANES(I, m.v[i] ? a.v[i] : b.v[i]) IDLM_INLINE F toFloat(I a)
        IDLM_LANES(F, float(a.v[i])) IDLM_INLINE F asFloat(I a) IDLM_LANES(F, bitsFloat(uint32_t(a.v[i]))) IDLM_INLINE I
    asInt(F a) IDLM_LANES(I, int32_t(floatBits(a.v[i]))) IDLM_INLINE F halfload(const uint16_t* p)
        IDLM_LANES(F, halfToFloat(p[i])) IDLM_INLINE void halfstore(uint16_t* p, F a) {
  for (int i = 0; i < 16; i++) p[i] = floatToHalf(a.v[i]);
}
IDLM_INLINE F bfload(const uint16_t* p) IDLM_LANES(F, bitsFloat(uint32_t(p[i]) << 16)) IDLM_INLINE I
    bytesload(const uint8_t* p) IDLM_LANES(I, p[i]) IDLM_INLINE I bytesload(const int8_t* p)
        IDLM_LANES(I, p[i]) IDLM_INLINE void bytestore(int8_t* p, I a) {
  for (int i = 0; i < 16; i++) p[i] = int8_t(a.v[i]);
}
#undef IDLM_LANES

#endif

// Sum of the sixteen lanes by a fixed tree, 16 -> 8 -> 4 -> 2 -> 1, and the largest by the same tree (a > b ? a : b).
#if defined(__AVX2__)
#if defined(__AVX512F__)
IDLM_INLINE __m256 lowLanes(F a) { return _mm512_castps512_ps256(a.v); }
IDLM_INLINE __m256 highLanes(F a) { return _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a.v), 1)); }
#else
IDLM_INLINE __m256 lowLanes(F x) { return x.a; }
IDLM_INLINE __m256 highLanes(F x) { return x.b; }
#endif
IDLM_INLINE float sumLanes(F a) {
  __m256 t = _mm256_add_ps(lowLanes(a), highLanes(a));
  __m128 u = _mm_add_ps(_mm256_castps256_ps128(t), _mm256_extractf128_ps(t, 1));
  u = _mm_add_ps(u, _mm_movehl_ps(u, u));
  return _mm_cvtss_f32(_mm_add_ss(u, _mm_movehdup_ps(u)));
}
IDLM_INLINE float maxLanes(F a) {
  __m256 t = _mm256_max_ps(lowLanes(a), highLanes(a));
  __m128 u = _mm_max_ps(_mm256_castps256_ps128(t), _mm256_extractf128_ps(t, 1));
  u = _mm_max_ps(u, _mm_movehl_ps(u, u));
  return _mm_cvtss_f32(_mm_max_ss(u, _mm_movehdup_ps(u)));
}
#else
IDLM_INLINE float sumLanes(F a) {
  for (int width = 8; width > 0; width >>= 1)
    for (int i = 0; i < width; i++) a.v[i] = a.v[i] + a.v[i + width];
  return a.v[0];
}
IDLM_INLINE float maxLanes(F a) {
  for (int width = 8; width > 0; width >>= 1)
    for (int i = 0; i < width; i++) a.v[i] = a.v[i] > a.v[i + width] ? a.v[i] : a.v[i + width];
  return a.v[0];
}
#endif

// The order of integer additions does not matter.
#if defined(__AVX512F__)
IDLM_INLINE int32_t sumLanes(I a) { return _mm512_reduce_add_epi32(a.v); }
#elif defined(__AVX2__)
IDLM_INLINE int32_t sumLanes(I x) {
  __m256i t = _mm256_add_epi32(x.a, x.b);
  __m128i u = _mm_add_epi32(_mm256_castsi256_si128(t), _mm256_extracti128_si256(t, 1));
  u = _mm_add_epi32(u, _mm_shuffle_epi32(u, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(u, _mm_shuffle_epi32(u, 0xb1)));
}
#else
IDLM_INLINE int32_t sumLanes(I a) {
  uint32_t total = 0;
  for (int i = 0; i < 16; i++) total += uint32_t(a.v[i]);
  return int32_t(total);
}
#endif

// Nearest integer (ties to even) of |x| < 2^22, by adding 1.5 * 2^23: exact, and the same everywhere.
IDLM_INLINE I roundInt(F x) { return asInt(x + fset(12582912.0f)) - iset(0x4b400000); }
IDLM_INLINE F roundFloat(F x) { return (x + fset(12582912.0f)) - fset(12582912.0f); }

}  // namespace IDLM_ISA
}  // namespace idlm
