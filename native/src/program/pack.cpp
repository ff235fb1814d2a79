// The scalar lanes suffice for conversions; this file is compiled without CPU flags.
#define IDLM_ISA pack
#include "program/pack.h"

#include <cmath>

#include "kernels/vec.h"

namespace idlm {

using pack::halfToFloat;

float halfBits(uint16_t h) { return halfToFloat(h); }

namespace {

// Blocks of a stored type (src/formats/tensor/tensor-type.ts): `size` elements in `bytes` bytes.
struct StoredLayout {
  const char* name;
  size_t size, bytes;
  Format format;
};
const StoredLayout storedLayouts[] = {
#define IDLM_FORMAT(name, elements, bytes, ...) {#name, elements, bytes, Format::name},
    IDLM_FORMATS(IDLM_FORMAT)
#undef IDLM_FORMAT
};

uint16_t read16(const uint8_t* p) { return uint16_t(p[0] | (p[1] << 8)); }
uint32_t read32(const uint8_t* p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return v;
}
void write32(uint8_t* p, uint32_t v) { memcpy(p, &v, 4); }

constexpr uint32_t NIBBLES = 0x0f0f0f0fu, PAIRS = 0x03030303u, ONES = 0x01010101u;

// ---- reading the codes of group g of a stored block, k[i] = codes 4i .. 4i + 3, one per byte

void nibbleHalves(const uint8_t* p, uint32_t* k) {  // low nibbles are 0..15, high ones 16..31
  for (int i = 0; i < 4; i++) {
    uint32_t x = read32(p + 4 * i);
    k[i] = x & NIBBLES, k[i + 4] = (x >> 4) & NIBBLES;
  }
}

void addFifthBits(uint32_t fifth, uint32_t* k) {
  for (int i = 0; i < 8; i++) {
    uint32_t four = (fifth >> (4 * i)) & 15u;  // four bits to the lowest of four bytes
    k[i] |= ((four * 0x00204081u) & ONES) << 4;
  }
}

void codesOf(Format format, const uint8_t* b, int g, uint32_t* k) {
  switch (format) {
    case Format::Q4_0:
    case Format::IQ4_NL:
      return nibbleHalves(b + 2, k);
    case Format::Q4_1:
      return nibbleHalves(b + 4, k);
    case Format::Q5_0:
      return nibbleHalves(b + 6, k), addFifthBits(read32(b + 2), k);
    case Format::Q5_1:
      return nibbleHalves(b + 8, k), addFifthBits(read32(b + 4), k);
    case Format::IQ4_XS:
      return nibbleHalves(b + 8 + 16 * g, k);
    case Format::Q8_0:
      for (int i = 0; i < 8; i++) k[i] = read32(b + 2 + 4 * i) ^ 0x80808080u;
      return;
    case Format::Q4_K:
    case Format::Q5_K: {
      const uint8_t* nibbles = b + (format == Format::Q4_K ? 16 : 48) + (g / 2) * 32;
      for (int i = 0; i < 8; i++) {
        k[i] = (read32(nibbles + 4 * i) >> (g % 2 * 4)) & NIBBLES;
        if (format == Format::Q5_K) k[i] |= ((read32(b + 16 + 4 * i) >> g) & ONES) << 4;
      }
      return;
    }
    case Format::Q2_K:
      for (int i = 0; i < 8; i++) k[i] = (read32(b + 16 + (g / 4) * 32 + 4 * i) >> (g % 4 * 2)) & PAIRS;
      return;
    case Format::Q3_K:
      for (int i = 0; i < 8; i++) {
        k[i] = (read32(b + 32 + (g / 4) * 32 + 4 * i) >> (g % 4 * 2)) & PAIRS;
        k[i] |= ((read32(b + 4 * i) >> g) & ONES) << 2;
      }
      return;
    case Format::Q6_K:
      for (int i = 0; i < 8; i++) {
        uint32_t low = read32(b + (g / 4) * 64 + (g % 2) * 32 + 4 * i) >> (g % 4 / 2 * 4);
        uint32_t high = read32(b + 128 + (g / 4) * 32 + 4 * i) >> (g % 4 * 2);
        k[i] = (low & NIBBLES) | ((high & PAIRS) << 4);
      }
      return;
    default:
      return;
  }
}

// ---- reading the scales of group g of a stored block (format.h, Scales), and what its groups share

struct BlockScales {
  uint16_t scale = 0, minimum = 0;  // f16 bits
};

BlockScales superOf(Format format, const uint8_t* b) {
  switch (format) {
    case Format::Q2_K:
      return {read16(b + 80), read16(b + 82)};
    case Format::Q3_K:
      return {read16(b + 108), 0};
    case Format::Q6_K:
      return {read16(b + 208), 0};
    default:
      return {read16(b), read16(b + 2)};
  }
}

struct GroupScales {
  uint8_t first = 0, second = 0;
};

GroupScales groupScalesOf(Format format, const uint8_t* b, int g) {
  switch (format) {
    case Format::Q4_K:
    case Format::Q5_K: {
      const uint8_t* s = b + 4;
      if (g < 4) return {uint8_t(s[g] & 63), uint8_t(s[g + 4] & 63)};
      return {uint8_t((s[g + 4] & 15) | ((s[g - 4] >> 6) << 4)), uint8_t((s[g + 4] >> 4) | ((s[g] >> 6) << 4))};
    }
    case Format::IQ4_XS: {
      int low = (b[4 + g / 2] >> (g % 2 * 4)) & 15, high = (read16(b + 2) >> (2 * g)) & 3;
      return {uint8_t((low | (high << 4)) - 32), 0};
    }
    case Format::Q2_K:
      return {b[2 * g], b[2 * g + 1]};
    case Format::Q6_K:
      return {b[192 + 2 * g], b[192 + 2 * g + 1]};
    default: {  // Q3_K
      auto scale = [&](int i) {
        int low = (b[96 + i % 8] >> (i / 8 * 4)) & 15, high = (b[104 + i % 4] >> (i / 4 * 2)) & 3;
        return uint8_t((low | (high << 4)) - 32);
      };
      return {scale(2 * g), scale(2 * g + 1)};
    }
  }
}

// ---- writing and reading panels

void writeCodes(const uint32_t* k, int bits, int lane, uint8_t* out) {
  out += lane * 4;
  if (bits == 8) {
    for (int j = 0; j < 8; j++) write32(out + j * 64, k[j]);
    return;
  }
  int position = 0;
  if (bits & 4) {
    for (int j = 0; j < 4; j++) write32(out + j * 64, (k[2 * j] & NIBBLES) | ((k[2 * j + 1] & NIBBLES) << 4));
    out += 256, position = 4;
  }
  if (bits & 2) {
    for (int i = 0; i < 2; i++) {
      uint32_t line = 0;
      for (int j = 0; j < 4; j++) line |= ((k[4 * i + j] >> position) & PAIRS) << (2 * j);
      write32(out + i * 64, line);
    }
    out += 128, position += 2;
  }
  if (bits & 1) {
    uint32_t line = 0;
    for (int j = 0; j < 8; j++) line |= ((k[j] >> position) & ONES) << j;
    write32(out, line);
  }
}

void readCodes(const uint8_t* in, int bits, int lane, uint32_t* k) {
  in += lane * 4;
  if (bits == 8) {
    for (int j = 0; j < 8; j++) k[j] = read32(in + j * 64);
    return;
  }
  for (int j = 0; j < 8; j++) k[j] = 0;
  int position = 0;
  if (bits & 4) {
    for (int j = 0; j < 8; j++) k[j] = (read32(in + j / 2 * 64) >> (j % 2 * 4)) & NIBBLES;
    in += 256, position = 4;
  }
  if (bits & 2) {
    for (int j = 0; j < 8; j++) k[j] |= ((read32(in + j / 4 * 64) >> (j % 4 * 2)) & PAIRS) << position;
    in += 128, position += 2;
  }
  if (bits & 1)
    for (int j = 0; j < 8; j++) k[j] |= ((read32(in) >> j) & ONES) << position;
}

// Writes group `g` of a block to the group at `at` of a panel.
void writeScales(Format format, const uint8_t* block, int g, int lane, uint8_t* panel, const GroupAt& at) {
  Scales kind = layoutOf(format).scales;
  uint8_t *scales = panel + at.scales, *own = scales + superBytes(kind) + size_t(at.place) * groupScaleBytes(kind);
  if (superBytes(kind) == 0) {
    memcpy(own + 2 * lane, block, 2);
    if (kind == Scales::HalfMin) memcpy(own + 2 * PANEL + 2 * lane, block + 2, 2);
    return;
  }
  if (at.place == 0) {
    BlockScales super = superOf(format, block);
    memcpy(scales + 2 * lane, &super.scale, 2);
    if (superBytes(kind) > 2 * PANEL) memcpy(scales + 2 * PANEL + 2 * lane, &super.minimum, 2);
  }
  GroupScales group = groupScalesOf(format, block, g);
  own[lane] = group.first;
  if (kind != Scales::Super) own[PANEL + lane] = group.second;
}

// Factor and offset of half `h` of a group: weight = scale * code + minimum.
struct Affine {
  float scale = 0, minimum = 0;
};

Affine readScales(Format format, const uint8_t* panel, const GroupAt& at, int lane, int h) {
  Scales kind = layoutOf(format).scales;
  const uint8_t *scales = panel + at.scales,
                *own = scales + superBytes(kind) + size_t(at.place) * groupScaleBytes(kind);
  auto half = [&](const uint8_t* p) { return halfToFloat(read16(p + 2 * lane)); };
  Affine a;
  switch (kind) {
    case Scales::Float:
      memcpy(&a.scale, own + 4 * lane, 4);
      return a;
    case Scales::Half:
      return {half(own), 0};
    case Scales::HalfMin:
      return {half(own), half(own + 2 * PANEL)};
    case Scales::Super:
      return {half(scales) * float(int8_t(own[lane])), 0};
    case Scales::SuperMin:
      return {half(scales) * float(own[lane]), -(half(scales + 2 * PANEL) * float(own[PANEL + lane]))};
    case Scales::Super16:
      return {half(scales) * float(int8_t(own[h * PANEL + lane])), 0};
    case Scales::SuperMin16: {
      uint8_t both = own[h * PANEL + lane];
      return {half(scales) * float(both & 15), -(half(scales + 2 * PANEL) * float(both >> 4))};
    }
    default:
      return a;
  }
}

// 16-byte vectors on any machine: adapters are packed after every training step.
using Floats4 = float __attribute__((vector_size(16)));
using Ints4 = int32_t __attribute__((vector_size(16)));

// Quantises a group to one code per byte, with zero point 128; returns its scale.
float quantiseWeights(const float* x, uint32_t* k) {
  constexpr int QUADS = GROUP / 4;
  Floats4 v[QUADS], most = {}, zeros = {};
  for (int i = 0; i < QUADS; i++) {
    memcpy(&v[i], x + 4 * i, sizeof(Floats4));
    auto magnitude = reinterpret_cast<Floats4>(reinterpret_cast<Ints4>(v[i]) & 0x7fffffff);
    most = magnitude > most ? magnitude : most;
    zeros += v[i] * 0.0f;
  }
  float largest = 0.0f;
  for (int i = 0; i < 4; i++) largest = most[i] > largest ? most[i] : largest;
  // A value that is not finite makes the scale so, and thus every product, where it is noticed.
  float sum = (zeros[0] + zeros[1]) + (zeros[2] + zeros[3]);
  if (!(sum == 0.0f)) {
    for (int i = 0; i < QUADS; i++) k[i] = 0x80808080u;
    return sum;
  }
  float inverse = largest > 1e-30f ? 127.0f / largest : 0.0f;
  for (int i = 0; i < QUADS; i++) {
    Floats4 rounded = (v[i] * inverse + 12582912.0f) - 12582912.0f;  // nearest even
    Ints4 code = __builtin_convertvector(rounded, Ints4) + 128;      // past the last column: 0 + 128
    k[i] = uint32_t(code[0]) | uint32_t(code[1]) << 8 | uint32_t(code[2]) << 16 | uint32_t(code[3]) << 24;
  }
  return largest / 127.0f;
}

void packFloats(const uint8_t* row, size_t bytes, int cols, int lane, uint8_t* panel) {
  for (int k = 0; k < cols; k++)
    memcpy(panel + (size_t(k) * PANEL + size_t(lane)) * bytes, row + size_t(k) * bytes, bytes);
}

}  // namespace

const Format* packedFormat(const std::string& type) {
  for (const StoredLayout& s : storedLayouts)
    if (s.size > 0 && type == s.name) return &s.format;
  return nullptr;
}

std::vector<std::string> packedTypes() {
  std::vector<std::string> names;
  for (const StoredLayout& s : storedLayouts)
    if (s.size > 0) names.emplace_back(s.name);
  return names;
}

size_t storedRowBytes(Format format, int cols) {
  for (const StoredLayout& s : storedLayouts)
    if (s.format == format && s.size > 0) return size_t(cols) % s.size == 0 ? size_t(cols) / s.size * s.bytes : 0;
  return 0;
}

void packPanels(const uint8_t* stored, Format format, int rows, int cols, const int32_t* order, uint8_t* out, int begin,
                int end) {
  size_t rowBytes = storedRowBytes(format, cols), stride = panelBytes(format, cols);
  int groups = cols / GROUP, bits = layoutOf(format).bits;
  // A block of the file has one group, or a whole chunk of groups.
  int chunk = chunkOf(layoutOf(format).scales), groupsPerBlock = superBytes(layoutOf(format).scales) > 0 ? chunk : 1;
  size_t blockBytes = isInteger(format) ? storedRowBytes(format, groupsPerBlock * GROUP) : 0;
  for (int p = begin; p < end; p++) {
    uint8_t* panel = out + size_t(p) * stride;
    int lanes = rows - p * PANEL < PANEL ? rows - p * PANEL : PANEL;
    if (lanes < PANEL) memset(panel, 0, stride);  // lanes without an output: scale 0
    auto rowOf = [&](int lane) {
      return stored + size_t(order ? order[p * PANEL + lane] : p * PANEL + lane) * rowBytes;
    };
    if (!isInteger(format)) {
      for (int lane = 0; lane < lanes; lane++)
        packFloats(rowOf(lane), format == Format::F32 ? 4 : 2, cols, lane, panel);
      continue;
    }
    for (int first = 0; first < groups; first += chunk)  // the cache lines of a chunk are reused for all its lanes
      for (int lane = 0; lane < lanes; lane++) {
        const uint8_t* row = rowOf(lane);
        for (int g = first; g < groups && g < first + chunk; g++) {
          const uint8_t* block = row + size_t(g / groupsPerBlock) * blockBytes;
          GroupAt at = groupAt(format, groups, g);
          uint32_t k[8] = {};
          codesOf(format, block, g % groupsPerBlock, k);
          writeCodes(k, bits, lane, panel + at.codes);
          writeScales(format, block, g % groupsPerBlock, lane, panel, at);
        }
      }
  }
}

void packFloat(const float* w, int rows, int cols, float scale, Format format, uint8_t* out) {
  size_t stride = panelBytes(format, cols);
  int groups = (cols + GROUP - 1) / GROUP, panels = (rows + PANEL - 1) / PANEL;
  memset(out, 0, stride * size_t(panels));
  for (int row = 0; row < rows; row++) {
    uint8_t* panel = out + size_t(row / PANEL) * stride;
    int lane = row % PANEL;
    const float* x = w + size_t(row) * size_t(cols);
    if (format == Format::F32) {
      for (int k = 0; k < cols; k++) {
        float v = x[k] * scale;
        memcpy(panel + (size_t(k) * PANEL + size_t(lane)) * 4, &v, 4);
      }
      continue;
    }
    for (int g = 0; g < groups; g++) {
      float v[GROUP];
      for (int i = 0; i < GROUP; i++) v[i] = g * GROUP + i < cols ? x[g * GROUP + i] * scale : 0.0f;
      uint32_t k[8];
      float d = quantiseWeights(v, k);
      GroupAt at = groupAt(format, groups, g);
      writeCodes(k, 8, lane, panel + at.codes);
      memcpy(panel + at.scales + size_t(at.place) * groupScaleBytes(Scales::Float) + size_t(lane) * 4, &d, 4);
    }
  }
}

void unpackRow(const Matrix& m, int row, float* out) {
  const uint8_t* panel = m.data + size_t(row / PANEL) * m.stride;
  int lane = row % PANEL, groups = (m.cols + GROUP - 1) / GROUP;
  if (!isInteger(m.format)) {
    for (int k = 0; k < m.cols; k++) {
      size_t at = size_t(k) * PANEL + size_t(lane);
      if (m.format == Format::F32)
        memcpy(out + k, panel + at * 4, 4);
      else if (m.format == Format::F16)
        out[k] = halfToFloat(read16(panel + at * 2));
      else {
        uint32_t bits = uint32_t(read16(panel + at * 2)) << 16;
        memcpy(out + k, &bits, 4);
      }
    }
    return;
  }
  Layout layout = layoutOf(m.format);
  int zero = layout.zero < 0 ? 0 : 1 << layout.zero;
  for (int g = 0; g < groups; g++) {
    GroupAt at = groupAt(m.format, groups, g);
    uint32_t k[8];
    readCodes(panel + at.codes, layout.bits, lane, k);
    Affine halves[2] = {readScales(m.format, panel, at, lane, 0), readScales(m.format, panel, at, lane, 1)};
    for (int i = 0; i < GROUP && g * GROUP + i < m.cols; i++) {
      int code = int((k[i / 4] >> (i % 4 * 8)) & 255u), value = (layout.table ? iq4Values[code] : code) - zero;
      const Affine& a = halves[i / 16];
      out[g * GROUP + i] = a.scale * float(value) + a.minimum;
    }
  }
}

}  // namespace idlm
