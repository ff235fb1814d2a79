// One panel times up to TILE rows: every output is one chain over K, in order. Each group of integer weights gives an
// exact integer, which is scaled and added in float32.
#pragma once
#include "kernels/codes.h"
#include "kernels/math.h"

namespace idlm {
namespace IDLM_ISA {

// Weights are read from memory once per forward; they are prefetched this many bytes ahead (also into the next panel).
constexpr size_t AHEAD = 6144;

template <int LINES>
IDLM_INLINE void fetchAhead(const uint8_t* w) {
#pragma GCC unroll 8
  for (int i = 0; i < LINES; i++) __builtin_prefetch(w + AHEAD + i * 64);
}

// A super-scale has 11 significant bits and a group's scale at most 8, so their product is exact.
template <int R, Format FORMAT>
IDLM_INLINE void tileInteger(const uint8_t* panel, int groups, const RowSpan& rows, F* out) {
  constexpr Layout L = layoutOf(FORMAT);
  constexpr Scales S = L.scales;
  constexpr size_t CODES = codeBytes(L.bits), PER_GROUP = groupScaleBytes(S), SUPER = superBytes(S);
  constexpr int CHUNK = chunkOf(S), HALVES = S == Scales::Super16 || S == Scales::SuperMin16 ? 2 : 1;
  F acc[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) acc[r] = fset(0);
  for (int first = 0; first < groups; first += CHUNK) {
    int n = CHUNK == 1 || groups - first >= CHUNK ? CHUNK : groups - first;
    const uint8_t *codes = panel, *scales = panel + size_t(n) * CODES;
    panel = scales + scaleBytes(S, n);
    F superScale = fset(0), minusMinimum = fset(0);
    if constexpr (SUPER > 0) superScale = halfload((const uint16_t*)scales);
    if constexpr (SUPER > 2 * PANEL) minusMinimum = fset(0) - halfload((const uint16_t*)(scales + 2 * PANEL));
    scales += SUPER;
    for (int g = first; g < first + n; g++, codes += CODES, scales += PER_GROUP) {
      fetchAhead<int(CODES / 64)>(codes);
      if (g == first) fetchAhead<int(scaleBytes(S, CHUNK) / 64)>(scales - SUPER);
      I s[HALVES * R];
      dots<FORMAT, R, HALVES>(codes, rows, g, s);
      if constexpr (S == Scales::SuperMin16) {
        I low = iset(15), one = bytesload(scales), two = bytesload(scales + PANEL);
        I scale1 = one & low, scale2 = two & low, minimum1 = shr<4>(one), minimum2 = shr<4>(two);
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) {
          const ActGroup& x = rows.group(r, g);
          I sum1 = iset(0) - iset(x.minusFirst), sum2 = iset(x.minusFirst) - iset(x.minusSum);
          acc[r] = fma(toFloat(imul(s[r], scale1) + imul(s[R + r], scale2)), superScale * fset(x.scale), acc[r]);
          acc[r] = fma(toFloat(imul(sum1, minimum1) + imul(sum2, minimum2)), minusMinimum * fset(x.scale), acc[r]);
        }
      } else if constexpr (S == Scales::Super16) {
        I scale1 = bytesload((const int8_t*)scales), scale2 = bytesload((const int8_t*)scales + PANEL);
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) {
          F sum = toFloat(imul(s[r], scale1) + imul(s[R + r], scale2));
          acc[r] = fma(sum, superScale * fset(rows.group(r, g).scale), acc[r]);
        }
      } else {
        F scale, minimum = fset(0);
        if constexpr (S == Scales::Float)
          scale = fload((const float*)scales);
        else if constexpr (S == Scales::Super)
          scale = superScale * toFloat(bytesload((const int8_t*)scales));
        else if constexpr (S == Scales::SuperMin)
          scale = superScale * toFloat(bytesload(scales));
        else
          scale = halfload((const uint16_t*)scales);
        if constexpr (S == Scales::HalfMin) minimum = halfload((const uint16_t*)(scales + 2 * PANEL));
        if constexpr (S == Scales::SuperMin) minimum = minusMinimum * toFloat(bytesload(scales + PANEL));
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) {
          const ActGroup& x = rows.group(r, g);
          acc[r] = fma(toFloat(s[r]), scale * fset(x.scale), acc[r]);
          if constexpr (S == Scales::HalfMin || S == Scales::SuperMin) acc[r] = fma(minimum, fset(x.scaledSum), acc[r]);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) out[r] = acc[r];
}

template <int R, Format FORMAT>
IDLM_INLINE void tileFloat(const uint8_t* panel, int cols, const RowSpan& rows, F* out) {
  F acc[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) acc[r] = fset(0);
  for (int k = 0; k < cols; k++) {
    F w = FORMAT == Format::F32   ? fload((const float*)panel + size_t(k) * 16)
          : FORMAT == Format::F16 ? halfload((const uint16_t*)panel + size_t(k) * 16)
                                  : bfload((const uint16_t*)panel + size_t(k) * 16);
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) acc[r] = fma(w, fset(rows.floats(r)[k]), acc[r]);
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) out[r] = acc[r];
}

template <int R, Format FORMAT>
__attribute__((noinline)) static void tile(const uint8_t* panel, int cols, const RowSpan& span, F* out) {
  RowSpan rows = span;  // a copy without aliases
  if constexpr (isInteger(FORMAT))
    tileInteger<R, FORMAT>(panel, (cols + GROUP - 1) / GROUP, rows, out);
  else
    tileFloat<R, FORMAT>(panel, cols, rows, out);
}

// One panel times n rows, 1 <= n <= TILE.
template <Format FORMAT>
static void tileRows(const uint8_t* panel, int cols, const RowSpan& rows, int n, F* out) {
  switch (n) {
    case 1:
      return tile<1, FORMAT>(panel, cols, rows, out);
    case 2:
      return tile<2, FORMAT>(panel, cols, rows, out);
    case 3:
      return tile<3, FORMAT>(panel, cols, rows, out);
#if defined(__AVX512F__)
    case 4:
      return tile<4, FORMAT>(panel, cols, rows, out);
    case 5:
      return tile<5, FORMAT>(panel, cols, rows, out);
    case 6:
      return tile<6, FORMAT>(panel, cols, rows, out);
    case 7:
      return tile<7, FORMAT>(panel, cols, rows, out);
#endif
    default:
      return tile<TILE, FORMAT>(panel, cols, rows, out);
  }
}

static void tileRows(const Matrix& m, int panel, const RowSpan& rows, int n, F* out) {
  const uint8_t* data = m.data + size_t(panel) * m.stride;
  switch (m.format) {
#define IDLM_FORMAT(name, ...) \
  case Format::name:           \
    return tileRows<Format::name>(data, m.cols, rows, n, out);
    IDLM_FORMATS(IDLM_FORMAT)
#undef IDLM_FORMAT
  }
}

}  // namespace IDLM_ISA
}  // namespace idlm
