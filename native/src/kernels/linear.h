// Matrix products: every output is one chain over K, in order.
#pragma once
#include "math.h"
#include "table.h"

namespace idlm {
namespace IDLM_ISA {

// Rows of a product: row r begins at base + r * stride.
struct RowSpan {
  const uint8_t* base;
  size_t stride;
  IDLM_INLINE const ActGroup& group(int r, int g) const { return ((const ActGroup*)(base + size_t(r) * stride))[g]; }
  IDLM_INLINE const float* floats(int r) const { return (const float*)(base + size_t(r) * stride); }
};

// Weights are read once a forward, from memory: asked for this many bytes ahead (within a panel and into the next).
constexpr size_t AHEAD = 6144;

template <int LINES> IDLM_INLINE void fetchAhead(const uint8_t* w) {
#pragma GCC unroll 8
  for (int i = 0; i < LINES; i++) __builtin_prefetch(w + AHEAD + i * 64);
}

#if defined(__AVX512F__)
constexpr int TILE = 8;  // rows whose accumulators stay in registers

IDLM_INLINE __m512i quad(const int8_t* p) {  // four activations to every lane
  int32_t w;
  memcpy(&w, p, 4);
  return _mm512_set1_epi32(w);
}

// Integer dot products of one group of K, for R rows: out[r][lane].
template <int R> IDLM_INLINE void groupQ4(const uint8_t* w, const RowSpan& rows, int g, I* out) {
  const __m512i low = _mm512_set1_epi8(0x0f);
  __m512i v[8];
  for (int j = 0; j < 4; j++) {
    __m512i x = _mm512_loadu_si512(w + j * 64);
    v[2 * j] = _mm512_and_si512(x, low);
    v[2 * j + 1] = _mm512_and_si512(_mm512_srli_epi16(x, 4), low);
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) {
    const int8_t* q = rows.group(r, g).q;
    __m512i s = _mm512_setzero_si512();
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) s = _mm512_dpbusd_epi32(s, v[j], quad(q + 4 * j));
    out[r] = {s};
  }
}

template <int R> IDLM_INLINE void groupQ8(const uint8_t* w, const RowSpan& rows, int g, I* out) {
  __m512i v[8];
  for (int j = 0; j < 8; j++) v[j] = _mm512_loadu_si512(w + j * 64);
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) {
    const int8_t* q = rows.group(r, g).q;
    __m512i s = _mm512_set1_epi32(rows.group(r, g).offset);  // weights are stored as q + 128
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) s = _mm512_dpbusd_epi32(s, v[j], quad(q + 4 * j));
    out[r] = {s};
  }
}

#elif defined(__AVX2__)
constexpr int TILE = 4;

IDLM_INLINE __m256i quad(const int8_t* p) {
  int32_t w;
  memcpy(&w, p, 4);
  return _mm256_set1_epi32(w);
}

// The sixteen outputs go eight at a time, so that R accumulators and the eight weight vectors stay in registers.
template <int R, class Dot, class Finish> IDLM_INLINE void halves(int groups, const RowSpan& rows, F* out, Dot dot, Finish finish) {
  for (int h = 0; h < 2; h++) {
    __m256 acc[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) acc[r] = _mm256_setzero_ps();
    for (int g = 0; g < groups; g++) {
      __m256i s[R];
      dot(g, h, s);
      finish(g, h, s, acc);
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
      if (h == 0) out[r].a = acc[r];
      else out[r].b = acc[r];
    }
  }
  (void)rows;
}

IDLM_INLINE __m256 half8(const uint16_t* p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p)); }

// vpmaddubsw adds two products in 16 bits: at most 2 * 15 * 127 = 3810, and eight of those 30,480: no saturation.
template <int R> IDLM_INLINE void tileQ4(const uint8_t* panel, int groups, const RowSpan& rows, F* out) {
  const __m256i low = _mm256_set1_epi8(0x0f), ones = _mm256_set1_epi16(1);
  halves<R>(
      groups, rows, out,
      [&](int g, int h, __m256i* s) __attribute__((always_inline)) {
        const uint8_t* w = panel + size_t(g) * 320;
        if (h == 0) fetchAhead<5>(w);
        __m256i v[8];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
          __m256i x = _mm256_loadu_si256((const __m256i*)(w + j * 64 + h * 32));
          v[2 * j] = _mm256_and_si256(x, low);
          v[2 * j + 1] = _mm256_and_si256(_mm256_srli_epi16(x, 4), low);
        }
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
          const int8_t* q = rows.group(r, g).q;
          __m256i t = _mm256_maddubs_epi16(v[0], quad(q));
#pragma GCC unroll 8
          for (int j = 1; j < 8; j++) t = _mm256_add_epi16(t, _mm256_maddubs_epi16(v[j], quad(q + 4 * j)));
          s[r] = _mm256_madd_epi16(t, ones);
        }
      },
      [&](int g, int h, const __m256i* s, __m256* acc) __attribute__((always_inline)) {
        const uint8_t* w = panel + size_t(g) * 320 + 256 + h * 16;
        __m256 scale = half8((const uint16_t*)w), minimum = half8((const uint16_t*)(w + 32));
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
          const ActGroup& x = rows.group(r, g);
          acc[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(s[r]), _mm256_mul_ps(scale, _mm256_set1_ps(x.scale)), acc[r]);
          acc[r] = _mm256_fmadd_ps(minimum, _mm256_set1_ps(x.scaledSum), acc[r]);
        }
      });
}

// |w| <= 128 unsigned times x with w's sign: a pair is at most 2 * 128 * 127 = 32,512, within 16 bits; pairs are widened
// before they are added. (Plain u8 * s8 with w + 128 would saturate.)
template <int R, bool HALF> IDLM_INLINE void tileQ8(const uint8_t* panel, int groups, const RowSpan& rows, F* out) {
  const __m256i flip = _mm256_set1_epi8(int8_t(0x80)), ones = _mm256_set1_epi16(1);
  const uint8_t* scales = panel + size_t(groups) * 512;
  halves<R>(
      groups, rows, out,
      [&](int g, int h, __m256i* s) __attribute__((always_inline)) {
        const uint8_t* w = panel + size_t(g) * 512 + h * 32;
        if (h == 0) fetchAhead<8>(w);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) s[r] = _mm256_setzero_si256();
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) {
          __m256i v = _mm256_xor_si256(_mm256_loadu_si256((const __m256i*)(w + j * 64)), flip);
          __m256i magnitude = _mm256_abs_epi8(v);
#pragma GCC unroll 4
          for (int r = 0; r < R; r++) {
            __m256i x = _mm256_sign_epi8(quad(rows.group(r, g).q + 4 * j), v);
            s[r] = _mm256_add_epi32(s[r], _mm256_madd_epi16(_mm256_maddubs_epi16(magnitude, x), ones));
          }
        }
      },
      [&](int g, int h, const __m256i* s, __m256* acc) __attribute__((always_inline)) {
        __m256 scale = HALF ? half8((const uint16_t*)(scales + g * 32 + h * 16)) : _mm256_loadu_ps((const float*)(scales + size_t(g) * 64) + h * 8);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++)
          acc[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(s[r]), _mm256_mul_ps(scale, _mm256_set1_ps(rows.group(r, g).scale)), acc[r]);
      });
}

#else
constexpr int TILE = 4;

template <int R> IDLM_INLINE void groupQ4(const uint8_t* w, const RowSpan& rows, int g, I* out) {
  for (int r = 0; r < R; r++) {
    const int8_t* q = rows.group(r, g).q;
    I s = iset(0);
    for (int j = 0; j < 4; j++)
      for (int lane = 0; lane < 16; lane++)
        for (int i = 0; i < 4; i++) {
          int byte = w[j * 64 + lane * 4 + i];
          s.v[lane] += (byte & 15) * q[8 * j + i] + (byte >> 4) * q[8 * j + 4 + i];
        }
    out[r] = s;
  }
}

template <int R> IDLM_INLINE void groupQ8(const uint8_t* w, const RowSpan& rows, int g, I* out) {
  for (int r = 0; r < R; r++) {
    const int8_t* q = rows.group(r, g).q;
    I s = iset(0);
    for (int j = 0; j < 8; j++)
      for (int lane = 0; lane < 16; lane++)
        for (int i = 0; i < 4; i++) s.v[lane] += (int(w[j * 64 + lane * 4 + i]) - 128) * q[4 * j + i];
    out[r] = s;
  }
}
#endif

#if defined(__AVX512F__) || !defined(__AVX2__)
// out[r] = panel · row r.
template <int R> IDLM_INLINE void tileQ4(const uint8_t* panel, int groups, const RowSpan& rows, F* out) {
  F acc[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) acc[r] = fset(0);
  for (int g = 0; g < groups; g++) {
    const uint8_t* w = panel + size_t(g) * 320;
    fetchAhead<5>(w);
    I s[R];
    groupQ4<R>(w, rows, g, s);
    F scale = halfload((const uint16_t*)(w + 256)), minimum = halfload((const uint16_t*)(w + 288));
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
      const ActGroup& x = rows.group(r, g);
      acc[r] = fma(toFloat(s[r]), scale * fset(x.scale), acc[r]);
      acc[r] = fma(minimum, fset(x.scaledSum), acc[r]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) out[r] = acc[r];
}

template <int R, bool HALF> IDLM_INLINE void tileQ8(const uint8_t* panel, int groups, const RowSpan& rows, F* out) {
  F acc[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) acc[r] = fset(0);
  const uint8_t* scales = panel + size_t(groups) * 512;
  for (int g = 0; g < groups; g++) {
    fetchAhead<8>(panel + size_t(g) * 512);
    I s[R];
    groupQ8<R>(panel + size_t(g) * 512, rows, g, s);
    F scale = HALF ? halfload((const uint16_t*)(scales + g * 32)) : fload((const float*)(scales + size_t(g) * 64));
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) acc[r] = fma(toFloat(s[r]), scale * fset(rows.group(r, g).scale), acc[r]);
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) out[r] = acc[r];
}
#endif

template <int R, Format FORMAT> IDLM_INLINE void tileFloat(const uint8_t* panel, int cols, const RowSpan& rows, F* out) {
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

// One panel times R rows, any format.
template <int R>
__attribute__((noinline)) static void tile(const Matrix& m, int panel, const RowSpan& span, F* out) {
  const uint8_t* data = m.data + size_t(panel) * m.stride;
  RowSpan rows = span;  // a copy that nothing aliases
  int groups = (m.cols + GROUP - 1) / GROUP;
  switch (m.format) {
    case Format::Q4: return tileQ4<R>(data, groups, rows, out);
    case Format::Q8: return tileQ8<R, true>(data, groups, rows, out);
    case Format::Q8S: return tileQ8<R, false>(data, groups, rows, out);
    case Format::F32: return tileFloat<R, Format::F32>(data, m.cols, rows, out);
    case Format::F16: return tileFloat<R, Format::F16>(data, m.cols, rows, out);
    case Format::BF16: return tileFloat<R, Format::BF16>(data, m.cols, rows, out);
  }
}

static void tileRows(const Matrix& m, int panel, const RowSpan& rows, int n, F* out) {
  switch (n) {
    case 1: return tile<1>(m, panel, rows, out);
    case 2: return tile<2>(m, panel, rows, out);
    case 3: return tile<3>(m, panel, rows, out);
#if defined(__AVX512F__)
    case 4: return tile<4>(m, panel, rows, out);
    case 5: return tile<5>(m, panel, rows, out);
    case 6: return tile<6>(m, panel, rows, out);
    case 7: return tile<7>(m, panel, rows, out);
    default: return tile<8>(m, panel, rows, out);
#else
    default: return tile<4>(m, panel, rows, out);
#endif
  }
}

// Quantises the 32 floats at p as group g of a row: scale = max|x| / 127, q = nearest even. A value that is not finite
// makes the scale so, and with it every product: nothing hides.
IDLM_INLINE void quantiseGroup(const float* p, ActGroup* out) {
  F a = fload(p), b = fload(p + 16);
  float largest = maxLanes(fmax(fabs(a), fabs(b)));
  if ((bits(a == a) & bits(b == b)) != 0xffffu) largest = __builtin_nanf("");
  float inverse = largest > 0.0f ? 127.0f / largest : 0.0f;
  if (inverse > 3.4e38f) inverse = 0.0f, largest = 0.0f;  // a group so small that 127 / largest overflows is nothing
  I qa = roundInt(a * fset(inverse)), qb = roundInt(b * fset(inverse));
  bytestore(out->q, qa);
  bytestore(out->q + 16, qb);
  int32_t total = largest < 3.4e38f ? sumLanes(qa + qb) : 0;
  out->scale = largest / 127.0f;
  out->scaledSum = out->scale * float(total);
  out->offset = -128 * total;
}

static void quantise(const float* x, int cols, uint8_t* row) {
  ActGroup* out = (ActGroup*)row;
  int whole = cols / GROUP;
  for (int g = 0; g < whole; g++) quantiseGroup(x + g * GROUP, out + g);
  if (whole * GROUP == cols) return;
  float padded[GROUP];
  for (int i = 0; i < GROUP; i++) padded[i] = whole * GROUP + i < cols ? x[whole * GROUP + i] : 0.0f;
  quantiseGroup(padded, out + whole);
}

// `n` groups of floats at x become groups first .. first + n - 1 of a row.
static void quantiseGroups(const float* x, uint8_t* row, int first, int n) {
  for (int i = 0; i < n; i++) quantiseGroup(x + i * GROUP, (ActGroup*)row + first + i);
}

// Adds to `acc` the low-rank term of gated rows.
IDLM_INLINE void addLora(const LinearArgs& a, const LinearPart& part, int panel, int row0, int n, F* acc) {
  if (!a.gated || !part.loraB.data) return;
  F term[TILE];
  for (int r = 0; r < n;) {
    int first = a.gated[row0 + r], run = 1;
    if (first < 0) {
      r++;
      continue;
    }
    while (r + run < n && a.gated[row0 + r + run] == first + run) run++;  // indices of t ascend with rows
    tileRows(part.loraB, panel, {a.t + size_t(first) * a.tStride + part.loraOffset, a.tStride}, run, term);
    for (int i = 0; i < run; i++) acc[r + i] = acc[r + i] + term[i];
    r += run;
  }
}

IDLM_INLINE void panelRows(const LinearArgs& a, const LinearPart& part, int panel, int row0, int n, F* acc) {
  tileRows(part.weight, panel, {a.x + size_t(row0) * a.xStride, a.xStride}, n, acc);
  addLora(a, part, panel, row0, n, acc);
  if (part.bias) {
    F bias = fload(part.bias + panel * PANEL);
    for (int r = 0; r < n; r++) acc[r] = acc[r] + bias;
  }
}

static void linear(const LinearArgs& a, int begin, int end) {
  if (a.epilogue == Epilogue::SwigluQuantised || a.epilogue == Epilogue::Swiglu) {
    // Items are groups of 32 outputs of parts 0 (gate) and 1 (up) together.
    for (int g = begin; g < end; g++) {
      int panels = a.parts[0].weight.panels() - 2 * g < 2 ? 1 : 2;
      for (int row = 0; row < a.nRows; row += TILE) {
        int n = a.nRows - row < TILE ? a.nRows - row : TILE;
        float m[TILE][GROUP];
        for (int p = 0; p < panels; p++) {
          F gate[TILE], up[TILE];
          panelRows(a, a.parts[0], 2 * g + p, row, n, gate);
          panelRows(a, a.parts[1], 2 * g + p, row, n, up);
          for (int r = 0; r < n; r++) fstore(m[r] + p * PANEL, vsilu(gate[r]) * up[r]);
        }
        for (int r = 0; r < n; r++) {
          if (a.epilogue == Epilogue::SwigluQuantised) {
            for (int i = panels * PANEL; i < GROUP; i++) m[r][i] = 0.0f;
            quantiseGroup(m[r], (ActGroup*)(a.quantisedOut + size_t(row + r) * a.quantisedStride) + g);
          } else {
            float* out = a.parts[0].out + size_t(row + r) * a.parts[0].outStride + g * GROUP;
            memcpy(out, m[r], sizeof(float) * size_t(panels) * PANEL);
          }
        }
      }
    }
    return;
  }
  int first = 0;
  for (int p = 0; p < a.nParts; p++) {
    const LinearPart& part = a.parts[p];
    int panels = part.weight.panels();
    int lo = begin - first > 0 ? begin - first : 0, hi = end - first < panels ? end - first : panels;
    for (int panel = lo; panel < hi; panel++) {
      int nRows = panel >= a.limitPanel ? a.limitRows : a.nRows;
      for (int row = 0; row < nRows; row += TILE) {
        int n = nRows - row < TILE ? nRows - row : TILE;
        F acc[TILE];
        panelRows(a, part, panel, row, n, acc);
        for (int r = 0; r < n; r++) {
          float* out = part.out + size_t(row + r) * part.outStride + size_t(panel) * PANEL;
          fstore(out, a.epilogue == Epilogue::Add ? fload(out) + acc[r] : acc[r]);
        }
      }
    }
    first += panels;
  }
}

}  // namespace IDLM_ISA
}  // namespace idlm
