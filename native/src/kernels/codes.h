// Integer dot products of one group of weights (format.h) with the same group of several rows of activations. This part
// of a product differs between instruction sets; since the results are integers, they are the same.
#pragma once
#include <type_traits>

#include "kernels/table.h"
#include "kernels/vec.h"

namespace idlm {
namespace IDLM_ISA {

// Rows of a product: row r starts at base + r * stride.
struct RowSpan {
  const uint8_t* base;
  size_t stride;
  IDLM_INLINE const ActGroup& group(int r, int g) const { return ((const ActGroup*)(base + size_t(r) * stride))[g]; }
  IDLM_INLINE const float* floats(int r) const { return (const float*)(base + size_t(r) * stride); }
};

// One quad of codes for each lane of a register.
#if defined(__AVX512F__)
using Bytes = __m512i;
IDLM_INLINE Bytes byteset(int x) { return _mm512_set1_epi8(int8_t(x)); }
IDLM_INLINE Bytes codesload(const uint8_t* p) { return _mm512_loadu_si512(p); }
IDLM_INLINE Bytes keep(Bytes a, Bytes mask) { return _mm512_and_si512(a, mask); }
IDLM_INLINE Bytes merge(Bytes to, Bytes a, Bytes mask) {
  return _mm512_ternarylogic_epi32(to, a, mask, 0xf8);
}  // to | (a & mask)
// Left for N > 0, else right. Bits cross byte borders and must be masked.
template <int N>
IDLM_INLINE Bytes shift(Bytes a) {
  if constexpr (N > 0) return _mm512_slli_epi16(a, N);
  if constexpr (N < 0) return _mm512_srli_epi16(a, -N);
  return a;
}
IDLM_INLINE Bytes iq4(Bytes a) {
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i*)iq4Values)), a);
}
#elif defined(__AVX2__)
using Bytes = __m256i;
IDLM_INLINE Bytes byteset(int x) { return _mm256_set1_epi8(int8_t(x)); }
IDLM_INLINE Bytes codesload(const uint8_t* p) { return _mm256_loadu_si256((const __m256i*)p); }
IDLM_INLINE Bytes keep(Bytes a, Bytes mask) { return _mm256_and_si256(a, mask); }
IDLM_INLINE Bytes merge(Bytes to, Bytes a, Bytes mask) { return _mm256_or_si256(to, _mm256_and_si256(a, mask)); }
template <int N>
IDLM_INLINE Bytes shift(Bytes a) {
  if constexpr (N > 0) return _mm256_slli_epi16(a, N);
  if constexpr (N < 0) return _mm256_srli_epi16(a, -N);
  return a;
}
IDLM_INLINE Bytes iq4(Bytes a) {
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i*)iq4Values)), a);
}
#else
struct Bytes {
  uint8_t v[64];
};
#define IDLM_BYTES(expression)                                 \
  {                                                            \
    Bytes r;                                                   \
    for (int i = 0; i < 64; i++) r.v[i] = uint8_t(expression); \
    return r;                                                  \
  }
IDLM_INLINE Bytes byteset(int x) IDLM_BYTES(x) IDLM_INLINE Bytes codesload(const uint8_t* p)
    IDLM_BYTES(p[i]) IDLM_INLINE Bytes keep(Bytes a, Bytes mask) IDLM_BYTES(a.v[i] & mask.v[i]) IDLM_INLINE Bytes
    merge(Bytes to, Bytes a, Bytes mask) IDLM_BYTES(to.v[i] | (a.v[i] & mask.v[i])) template <int N>
    IDLM_INLINE Bytes shift(Bytes a)
        IDLM_BYTES(N > 0 ? a.v[i] << (N > 0 ? N : 0) : a.v[i] >> (N > 0 ? 0 : -N)) IDLM_INLINE Bytes iq4(Bytes a)
            IDLM_BYTES(iq4Values[a.v[i]])
#undef IDLM_BYTES
#endif

// Quad J of the codes of a group.
template <Format FORMAT, int J>
IDLM_INLINE Bytes quadOf(const uint8_t* w) {
  constexpr int BITS = layoutOf(FORMAT).bits;
  if constexpr (BITS == 8) return codesload(w + J * 64);
  Bytes v;
  if constexpr ((BITS & 4) != 0) v = keep(shift<J % 2 * -4>(codesload(w + J / 2 * 64)), byteset(0x0f));
  if constexpr ((BITS & 2) != 0) {
    constexpr int POSITION = BITS & 4;
    Bytes moved = shift<POSITION - J % 4 * 2>(codesload(w + (POSITION + J / 4) * 64));
    if constexpr (POSITION == 0)
      v = keep(moved, byteset(3));
    else
      v = merge(v, moved, byteset(3 << POSITION));
  }
  if constexpr ((BITS & 1) != 0)
    v = merge(v, shift<BITS - 1 - J>(codesload(w + (BITS - 1) * 64)), byteset(1 << (BITS - 1)));
  if constexpr (layoutOf(FORMAT).table) v = iq4(v);
  return v;
}

// Calls fn(0) to fn(7) with constants.
template <class Fn>
IDLM_INLINE void eachQuad(Fn fn) {
  fn(std::integral_constant<int, 0>{}), fn(std::integral_constant<int, 1>{});
  fn(std::integral_constant<int, 2>{}), fn(std::integral_constant<int, 3>{});
  fn(std::integral_constant<int, 4>{}), fn(std::integral_constant<int, 5>{});
  fn(std::integral_constant<int, 6>{}), fn(std::integral_constant<int, 7>{});
}
#define IDLM_QUADS(J) eachQuad([&](auto J) __attribute__((always_inline))

// Initial value of the sum of half `h` of `HALVES`, which subtracts the zero point of the codes.
template <Format FORMAT, int HALVES>
IDLM_INLINE I withoutZero(const ActGroup& x, int h) {
  constexpr int ZERO = layoutOf(FORMAT).zero;
  if constexpr (ZERO < 0)
    return iset(0);
  else if (HALVES == 1)
    return shl<ZERO>(iset(x.minusSum));
  else if (h == 0)
    return shl<ZERO>(iset(x.minusFirst));
  else
    return shl<ZERO>(iset(x.minusSum) - iset(x.minusFirst));
}

// s[h * R + r] = sum over half h (of HALVES) of group g of (code - zero point) times the activations of row r, for 16
// outputs.
#if defined(__AVX512F__)
constexpr int TILE = 8;  // rows whose accumulators stay in registers

IDLM_INLINE __m512i quad(const int8_t* p) {  // four activations to every lane
  int32_t w;
  memcpy(&w, p, 4);
  return _mm512_set1_epi32(w);
}

template <Format FORMAT, int R, int HALVES>
IDLM_INLINE void dots(const uint8_t* w, const RowSpan& rows, int g, I* s) {
  Bytes v[8];
  IDLM_QUADS(j) { v[j] = quadOf<FORMAT, j>(w); });
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) {
    const ActGroup& x = rows.group(r, g);
#pragma GCC unroll 2
    for (int h = 0; h < HALVES; h++) {
      __m512i sum = withoutZero<FORMAT, HALVES>(x, h).v;
#pragma GCC unroll 8
      for (int j = h * 4; j < (h + 1) * 8 / HALVES; j++) sum = _mm512_dpbusd_epi32(sum, v[j], quad(x.q + 4 * j));
      s[h * R + r] = {sum};
    }
  }
}

#elif defined(__AVX2__)
constexpr int TILE = 4;

IDLM_INLINE __m256i quad(const int8_t* p) {
  int32_t w;
  memcpy(&w, p, 4);
  return _mm256_set1_epi32(w);
}

// Rows are the inner loop, quads the outer: codes need not be kept, and all sums fit into registers. Sums are pinned
// where they are written: gcc would move the additions of a chain after all of its products, and spill those.
IDLM_INLINE __m256i pinned(__m256i x) {
  asm("" : "+x"(x));
  return x;
}

// vpmaddubsw adds two products in 16 bits; for codes below 64 several such sums fit before they must be widened.
template <Format FORMAT, int R, int HALVES, int REGISTERS>
IDLM_INLINE void dotsOfSmall(const uint8_t* w, const RowSpan& rows, int g, __m256i (*s)[2]) {
  constexpr int LARGEST = (1 << layoutOf(FORMAT).bits) - 1, FITS = 32767 / (2 * LARGEST * 127), QUADS = 8 / HALVES;
  constexpr int RUN = FITS < QUADS ? (FITS >= 4 ? 4 : 2) : QUADS;
  static_assert(FITS >= 2, "8-bit codes go another way");
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i t[R][REGISTERS];
  IDLM_QUADS(j) {
    Bytes v[REGISTERS];
#pragma GCC unroll 2
    for (int i = 0; i < REGISTERS; i++) v[i] = quadOf<FORMAT, j>(w + i * 32);
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
      __m256i x = quad(rows.group(r, g).q + 4 * j);
#pragma GCC unroll 2
      for (int i = 0; i < REGISTERS; i++) {
        __m256i pair = _mm256_maddubs_epi16(v[i], x);
        t[r][i] = j % RUN == 0 ? pinned(pair) : pinned(_mm256_add_epi16(t[r][i], pair));
      }
    }
    if constexpr ((j + 1) % RUN == 0) {
#pragma GCC unroll 4
      for (int r = 0; r < R; r++) {
#pragma GCC unroll 2
        for (int i = 0; i < REGISTERS; i++) {
          __m256i sum = _mm256_madd_epi16(t[r][i], ones), &to = s[j / QUADS * R + r][i];
          to = j % QUADS < RUN ? sum : pinned(_mm256_add_epi32(to, sum));
        }
      }
    }
  });
}

// Unsigned |w| <= 128 times x with w's sign: a pair is at most 2 * 128 * 127 = 32,512, within 16 bits; pairs are
// widened before they are added. (Codes up to 255 times x would saturate.)
template <Format FORMAT, int R>
IDLM_INLINE void dotsOfLarge(const uint8_t* w, const RowSpan& rows, int g, __m256i (*s)[2]) {
  const __m256i flip = _mm256_set1_epi8(int8_t(0x80)), ones = _mm256_set1_epi16(1);
  IDLM_QUADS(j) {
    __m256i signedCodes[2], magnitude[2];
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
      signedCodes[i] = _mm256_xor_si256(quadOf<FORMAT, j>(w + i * 32), flip);
      magnitude[i] = _mm256_abs_epi8(signedCodes[i]);
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
      __m256i x = quad(rows.group(r, g).q + 4 * j);
#pragma GCC unroll 2
      for (int i = 0; i < 2; i++) {
        __m256i sum = _mm256_madd_epi16(_mm256_maddubs_epi16(magnitude[i], _mm256_sign_epi8(x, signedCodes[i])), ones);
        s[r][i] = j == 0 ? pinned(sum) : pinned(_mm256_add_epi32(s[r][i], sum));
      }
    }
  });
}

template <Format FORMAT, int R, int HALVES>
IDLM_INLINE void dots(const uint8_t* w, const RowSpan& rows, int g, I* s) {
  __m256i sums[HALVES * R][2];
  if constexpr (layoutOf(FORMAT).zero == 7) {  // the signs subtract 128
    static_assert(HALVES == 1, "no such type");
    dotsOfLarge<FORMAT, R>(w, rows, g, sums);
    for (int r = 0; r < R; r++) s[r] = {sums[r][0], sums[r][1]};
  } else {
    dotsOfSmall<FORMAT, R, HALVES, 2>(w, rows, g, sums);
#pragma GCC unroll 8
    for (int i = 0; i < HALVES * R; i++) {
      I sum = {sums[i][0], sums[i][1]};
      if constexpr (layoutOf(FORMAT).zero >= 0) sum = sum + withoutZero<FORMAT, HALVES>(rows.group(i % R, g), i / R);
      s[i] = sum;
    }
  }
}

#else
constexpr int TILE = 4;

template <Format FORMAT, int R, int HALVES>
IDLM_INLINE void dots(const uint8_t* w, const RowSpan& rows, int g, I* s) {
  Bytes v[8];
  IDLM_QUADS(j) { v[j] = quadOf<FORMAT, j>(w); });
  for (int r = 0; r < R; r++) {
    const ActGroup& x = rows.group(r, g);
    for (int h = 0; h < HALVES; h++) {
      I sum = withoutZero<FORMAT, HALVES>(x, h);
      for (int j = h * 4; j < (h + 1) * 8 / HALVES; j++)
        for (int lane = 0; lane < LANES; lane++)
          for (int i = 0; i < 4; i++) sum.v[lane] += int(v[j].v[lane * 4 + i]) * x.q[4 * j + i];
      s[h * R + r] = sum;
    }
  }
}
#endif

}  // namespace IDLM_ISA
}  // namespace idlm
