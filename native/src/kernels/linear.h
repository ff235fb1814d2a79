// Matrix products: every output is one chain over K, in order.
#pragma once
#include "math.h"
#include "table.h"

namespace idlm {
namespace IDLM_ISA {

struct ActRow {
  const int8_t* q;
  const float* scale;
  const float* scaledSum;
  const int32_t* sum;
};

IDLM_INLINE ActRow actRow(const uint8_t* block, int groups) {
  const float* scale = (const float*)(block + size_t(groups) * GROUP);
  return {(const int8_t*)block, scale, scale + groups, (const int32_t*)(scale + 2 * groups)};
}

#if defined(__AVX512F__)
constexpr int TILE = 8;  // rows whose accumulators stay in registers

IDLM_INLINE __m512i quad(const int8_t* p) {  // four activations to every lane
  int32_t w;
  memcpy(&w, p, 4);
  return _mm512_set1_epi32(w);
}

// Integer dot products of one group of K, for R rows: out[r][lane].
template <int R> IDLM_INLINE void groupQ4(const uint8_t* w, const ActRow* rows, int g, I* out) {
  const __m512i low = _mm512_set1_epi8(0x0f);
  __m512i v[8];
  for (int j = 0; j < 4; j++) {
    __m512i x = _mm512_loadu_si512(w + j * 64);
    v[2 * j] = _mm512_and_si512(x, low);
    v[2 * j + 1] = _mm512_and_si512(_mm512_srli_epi16(x, 4), low);
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) {
    const int8_t* q = rows[r].q + g * GROUP;
    __m512i s = _mm512_setzero_si512();
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) s = _mm512_dpbusd_epi32(s, v[j], quad(q + 4 * j));
    out[r] = {s};
  }
}

template <int R> IDLM_INLINE void groupQ8(const uint8_t* w, const ActRow* rows, int g, I* out) {
  __m512i v[8];
  for (int j = 0; j < 8; j++) v[j] = _mm512_loadu_si512(w + j * 64);
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) {
    const int8_t* q = rows[r].q + g * GROUP;
    __m512i s = _mm512_set1_epi32(-128 * rows[r].sum[g]);  // weights are stored as q + 128
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

// vpmaddubsw adds two products in 16 bits: at most 2 * 15 * 127 = 3810, and eight of those 30,480: no saturation.
template <int R> IDLM_INLINE void groupQ4(const uint8_t* w, const ActRow* rows, int g, I* out) {
  const __m256i low = _mm256_set1_epi8(0x0f), ones = _mm256_set1_epi16(1);
#pragma GCC unroll 2
  for (int h = 0; h < 2; h++) {
    __m256i v[8];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
      __m256i x = _mm256_loadu_si256((const __m256i*)(w + j * 64 + h * 32));
      v[2 * j] = _mm256_and_si256(x, low);
      v[2 * j + 1] = _mm256_and_si256(_mm256_srli_epi16(x, 4), low);
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
      const int8_t* q = rows[r].q + g * GROUP;
      __m256i s = _mm256_maddubs_epi16(v[0], quad(q));
#pragma GCC unroll 8
      for (int j = 1; j < 8; j++) s = _mm256_add_epi16(s, _mm256_maddubs_epi16(v[j], quad(q + 4 * j)));
      s = _mm256_madd_epi16(s, ones);
      if (h == 0) out[r].a = s;
      else out[r].b = s;
    }
  }
}

// |w| <= 128 unsigned times x with w's sign: a pair is at most 2 * 128 * 127 = 32,512, within 16 bits; pairs are widened
// before they are added. (Plain u8 * s8 with w + 128 would saturate.)
template <int R> IDLM_INLINE void groupQ8(const uint8_t* w, const ActRow* rows, int g, I* out) {
  const __m256i flip = _mm256_set1_epi8(int8_t(0x80)), ones = _mm256_set1_epi16(1);
#pragma GCC unroll 2
  for (int h = 0; h < 2; h++) {
    __m256i s[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) s[r] = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
      __m256i v = _mm256_xor_si256(_mm256_loadu_si256((const __m256i*)(w + j * 64 + h * 32)), flip);
      __m256i magnitude = _mm256_abs_epi8(v);
#pragma GCC unroll 4
      for (int r = 0; r < R; r++) {
        __m256i x = _mm256_sign_epi8(quad(rows[r].q + g * GROUP + 4 * j), v);
        s[r] = _mm256_add_epi32(s[r], _mm256_madd_epi16(_mm256_maddubs_epi16(magnitude, x), ones));
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
      if (h == 0) out[r].a = s[r];
      else out[r].b = s[r];
    }
  }
}

#else
constexpr int TILE = 4;

template <int R> IDLM_INLINE void groupQ4(const uint8_t* w, const ActRow* rows, int g, I* out) {
  for (int r = 0; r < R; r++) {
    const int8_t* q = rows[r].q + g * GROUP;
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

template <int R> IDLM_INLINE void groupQ8(const uint8_t* w, const ActRow* rows, int g, I* out) {
  for (int r = 0; r < R; r++) {
    const int8_t* q = rows[r].q + g * GROUP;
    I s = iset(0);
    for (int j = 0; j < 8; j++)
      for (int lane = 0; lane < 16; lane++)
        for (int i = 0; i < 4; i++) s.v[lane] += (int(w[j * 64 + lane * 4 + i]) - 128) * q[4 * j + i];
    out[r] = s;
  }
}
#endif

// acc[r] = panel · row r, from zero.
template <int R> IDLM_INLINE void tileQ4(const uint8_t* panel, int groups, const ActRow* rows, F* acc) {
  for (int r = 0; r < R; r++) acc[r] = fset(0);
  for (int g = 0; g < groups; g++) {
    const uint8_t* w = panel + size_t(g) * 320;
    I s[R];
    groupQ4<R>(w, rows, g, s);
    F scale = halfload((const uint16_t*)(w + 256)), minimum = halfload((const uint16_t*)(w + 288));
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
      acc[r] = fma(toFloat(s[r]), scale * fset(rows[r].scale[g]), acc[r]);
      acc[r] = fma(minimum, fset(rows[r].scaledSum[g]), acc[r]);
    }
  }
}

template <int R, bool HALF> IDLM_INLINE void tileQ8(const uint8_t* panel, int groups, const ActRow* rows, F* acc) {
  for (int r = 0; r < R; r++) acc[r] = fset(0);
  const uint8_t* scales = panel + size_t(groups) * 512;
  for (int g = 0; g < groups; g++) {
    I s[R];
    groupQ8<R>(panel + size_t(g) * 512, rows, g, s);
    F scale = HALF ? halfload((const uint16_t*)(scales + g * 32)) : fload((const float*)(scales + size_t(g) * 64));
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) acc[r] = fma(toFloat(s[r]), scale * fset(rows[r].scale[g]), acc[r]);
  }
}

template <int R, Format FORMAT> IDLM_INLINE void tileFloat(const uint8_t* panel, int cols, const float* const* x, F* acc) {
  for (int r = 0; r < R; r++) acc[r] = fset(0);
  for (int k = 0; k < cols; k++) {
    F w = FORMAT == Format::F32   ? fload((const float*)panel + size_t(k) * 16)
          : FORMAT == Format::F16 ? halfload((const uint16_t*)panel + size_t(k) * 16)
                                  : bfload((const uint16_t*)panel + size_t(k) * 16);
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) acc[r] = fma(w, fset(x[r][k]), acc[r]);
  }
}

// One panel times R rows of `x`, any format.
template <int R>
__attribute__((noinline)) static void tile(const Matrix& m, int panel, const uint8_t* const* x, F* acc) {
  const uint8_t* data = m.data + size_t(panel) * m.stride;
  if (isInteger(m.format)) {
    int groups = (m.cols + GROUP - 1) / GROUP;
    ActRow rows[R];
    for (int r = 0; r < R; r++) rows[r] = actRow(x[r], groups);
    if (m.format == Format::Q4) tileQ4<R>(data, groups, rows, acc);
    else if (m.format == Format::Q8) tileQ8<R, true>(data, groups, rows, acc);
    else tileQ8<R, false>(data, groups, rows, acc);
    return;
  }
  const float* rows[R];
  for (int r = 0; r < R; r++) rows[r] = (const float*)x[r];
  if (m.format == Format::F32) tileFloat<R, Format::F32>(data, m.cols, rows, acc);
  else if (m.format == Format::F16) tileFloat<R, Format::F16>(data, m.cols, rows, acc);
  else tileFloat<R, Format::BF16>(data, m.cols, rows, acc);
}

static void tileRows(const Matrix& m, int panel, const uint8_t* const* x, int n, F* acc) {
  switch (n) {
    case 1: return tile<1>(m, panel, x, acc);
    case 2: return tile<2>(m, panel, x, acc);
    case 3: return tile<3>(m, panel, x, acc);
#if defined(__AVX512F__)
    case 4: return tile<4>(m, panel, x, acc);
    case 5: return tile<5>(m, panel, x, acc);
    case 6: return tile<6>(m, panel, x, acc);
    case 7: return tile<7>(m, panel, x, acc);
    default: return tile<8>(m, panel, x, acc);
#else
    default: return tile<4>(m, panel, x, acc);
#endif
  }
}

// Quantises the 32 floats at p as group g of a row: scale = max|x| / 127, q = nearest even. A value that is not finite
// makes the scale so, and with it every product: nothing hides.
IDLM_INLINE void quantiseGroup(const float* p, uint8_t* block, int groups, int g) {
  int8_t* q = (int8_t*)block;
  float* scale = (float*)(block + size_t(groups) * GROUP);
  float* scaledSum = scale + groups;
  int32_t* sum = (int32_t*)(scaledSum + groups);
  F a = fload(p), b = fload(p + 16);
  float largest = maxLanes(fmax(fabs(a), fabs(b)));
  if ((bits(a == a) & bits(b == b)) != 0xffffu) largest = __builtin_nanf("");
  float inverse = largest > 0.0f ? 127.0f / largest : 0.0f;
  if (inverse > 3.4e38f) inverse = 0.0f, largest = 0.0f;  // a group so small that 127 / largest overflows is nothing
  I qa = roundInt(a * fset(inverse)), qb = roundInt(b * fset(inverse));
  bytestore(q + g * GROUP, qa);
  bytestore(q + g * GROUP + 16, qb);
  int32_t t[16];
  uint32_t total = 0;
  istore(t, qa + qb);
  for (int i = 0; i < 16; i++) total += uint32_t(t[i]);
  if (!(largest < 3.4e38f)) total = 0;
  scale[g] = largest / 127.0f;
  sum[g] = int32_t(total);
  scaledSum[g] = scale[g] * float(sum[g]);
}

static void quantise(const float* x, int cols, uint8_t* block) {
  int groups = (cols + GROUP - 1) / GROUP;
  for (int g = 0; g < groups; g++) {
    if ((g + 1) * GROUP <= cols) {
      quantiseGroup(x + g * GROUP, block, groups, g);
      continue;
    }
    float padded[GROUP];
    for (int i = 0; i < GROUP; i++) padded[i] = g * GROUP + i < cols ? x[g * GROUP + i] : 0.0f;
    quantiseGroup(padded, block, groups, g);
  }
}

// `n` groups of floats at x become groups first .. first + n - 1 of a row.
static void quantiseGroups(const float* x, uint8_t* block, int groups, int first, int n) {
  for (int i = 0; i < n; i++) quantiseGroup(x + i * GROUP, block, groups, first + i);
}

// Adds to `acc` the low-rank term of gated rows.
IDLM_INLINE void addLora(const LinearArgs& a, const LinearPart& part, int panel, int row0, int n, F* acc) {
  if (!a.gated || !part.loraB.data) return;
  const uint8_t* x[TILE];
  int at[TILE], m = 0;
  for (int r = 0; r < n; r++) {
    int t = a.gated[row0 + r];
    if (t < 0) continue;
    x[m] = a.t + size_t(t) * a.tStride + part.loraOffset;
    at[m++] = r;
  }
  if (m == 0) return;
  F term[TILE];
  tileRows(part.loraB, panel, x, m, term);
  for (int r = 0; r < m; r++) acc[at[r]] = acc[at[r]] + term[r];
}

IDLM_INLINE void panelRows(const LinearArgs& a, const LinearPart& part, int panel, int row0, int n, F* acc) {
  const uint8_t* x[TILE];
  for (int r = 0; r < n; r++) x[r] = a.x + size_t(row0 + r) * a.xStride;
  tileRows(part.weight, panel, x, n, acc);
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
            quantiseGroup(m[r], a.quantisedOut + size_t(row + r) * a.quantisedStride, (a.outCols + GROUP - 1) / GROUP, g);
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
