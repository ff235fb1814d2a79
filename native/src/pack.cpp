// The scalar build of the lanes is good for conversions here; it is compiled without CPU flags.
#define IDLM_ISA pack
#include "pack.h"

#include <vector>

#include "kernels/vec.h"

namespace idlm {

using pack::floatToHalf;
using pack::halfToFloat;

float halfBits(uint16_t h) { return halfToFloat(h); }

Stored storedType(const std::string& name) {
  if (name == "F32") return Stored::F32;
  if (name == "F16") return Stored::F16;
  if (name == "BF16") return Stored::BF16;
  if (name == "Q8_0") return Stored::Q8_0;
  if (name == "Q4_0") return Stored::Q4_0;
  if (name == "Q4_1") return Stored::Q4_1;
  return Stored::Unknown;
}

size_t storedRowBytes(Stored type, int cols) {
  size_t n = size_t(cols), blocks = n / GROUP;
  bool whole = n % GROUP == 0;
  switch (type) {
    case Stored::F32: return n * 4;
    case Stored::F16:
    case Stored::BF16: return n * 2;
    case Stored::Q8_0: return whole ? blocks * 34 : 0;
    case Stored::Q4_0: return whole ? blocks * 18 : 0;
    case Stored::Q4_1: return whole ? blocks * 20 : 0;
    default: return 0;
  }
}

Format packedFormat(Stored type) {
  switch (type) {
    case Stored::F32: return Format::F32;
    case Stored::F16: return Format::F16;
    case Stored::BF16: return Format::BF16;
    case Stored::Q8_0: return Format::Q8;
    default: return Format::Q4;
  }
}

namespace {

uint16_t read16(const uint8_t* p) { return uint16_t(p[0] | (p[1] << 8)); }
void write16(uint8_t* p, uint16_t v) { memcpy(p, &v, 2); }

// One stored row into lane `lane` of a panel.
void packRow(const uint8_t* row, Stored type, int cols, int lane, uint8_t* panel) {
  int groups = cols / GROUP;
  switch (type) {
    case Stored::F32:
      for (int k = 0; k < cols; k++) memcpy(panel + (size_t(k) * 16 + size_t(lane)) * 4, row + size_t(k) * 4, 4);
      return;
    case Stored::F16:
    case Stored::BF16:
      for (int k = 0; k < cols; k++) memcpy(panel + (size_t(k) * 16 + size_t(lane)) * 2, row + size_t(k) * 2, 2);
      return;
    case Stored::Q8_0: {
      uint8_t* scales = panel + size_t(groups) * 512;
      for (int g = 0; g < groups; g++) {
        const uint8_t* block = row + size_t(g) * 34;
        write16(scales + g * 32 + lane * 2, read16(block));
        uint8_t* out = panel + size_t(g) * 512 + lane * 4;
        for (int j = 0; j < 8; j++) {
          uint32_t four;
          memcpy(&four, block + 2 + 4 * j, 4);
          four ^= 0x80808080u;
          memcpy(out + j * 64, &four, 4);
        }
      }
      return;
    }
    case Stored::Q4_0:
    case Stored::Q4_1: {
      // A block holds k = 0..15 in low nibbles, 16..31 in high ones.
      bool minimum = type == Stored::Q4_1;
      size_t header = minimum ? 4 : 2, size = header + 16;
      for (int g = 0; g < groups; g++) {
        const uint8_t* block = row + size_t(g) * size;
        uint8_t* out = panel + size_t(g) * 320;
        uint32_t words[4], k[8];  // k[i]: four nibbles 4i..4i+3, one a byte
        memcpy(words, block + header, 16);
        for (int i = 0; i < 4; i++) k[i] = words[i] & 0x0f0f0f0fu, k[i + 4] = (words[i] >> 4) & 0x0f0f0f0fu;
        for (int j = 0; j < 4; j++) {
          uint32_t four = k[2 * j] | (k[2 * j + 1] << 4);
          memcpy(out + j * 64 + lane * 4, &four, 4);
        }
        uint16_t d = read16(block);
        write16(out + 256 + lane * 2, d);
        // Q4_0: scale (q - 8), so the minimum is -8 scale, which f16 holds exactly unless it overflows (checked at load).
        write16(out + 288 + lane * 2, minimum ? read16(block + 2) : floatToHalf(-8.0f * halfToFloat(d)));
      }
      return;
    }
    default: return;
  }
}

}  // namespace

void packPanels(const uint8_t* stored, Stored type, int rows, int cols, const int32_t* order, uint8_t* out, int begin, int end) {
  size_t rowBytes = storedRowBytes(type, cols), stride = panelBytes(packedFormat(type), cols);
  for (int p = begin; p < end; p++) {
    uint8_t* panel = out + size_t(p) * stride;
    if ((p + 1) * PANEL > rows) memset(panel, 0, stride);  // lanes without an output: scale 0
    for (int lane = 0; lane < PANEL && p * PANEL + lane < rows; lane++) {
      int row = order ? order[p * PANEL + lane] : p * PANEL + lane;
      packRow(stored + size_t(row) * rowBytes, type, cols, lane, panel);
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
        memcpy(panel + (size_t(k) * 16 + size_t(lane)) * 4, &v, 4);
      }
      continue;
    }
    for (int g = 0; g < groups; g++) {
      float v[GROUP], largest = 0.0f;
      for (int i = 0; i < GROUP; i++) {
        v[i] = g * GROUP + i < cols ? x[g * GROUP + i] * scale : 0.0f;
        float magnitude = v[i] < 0 ? -v[i] : v[i];
        largest = magnitude > largest ? magnitude : largest;
      }
      float d = largest / 127.0f, inverse = largest > 1e-30f ? 127.0f / largest : 0.0f;
      memcpy(panel + size_t(groups) * 512 + (size_t(g) * 16 + size_t(lane)) * 4, &d, 4);
      for (int i = 0; i < GROUP; i++) {
        float q = (v[i] * inverse + 12582912.0f) - 12582912.0f;
        panel[size_t(g) * 512 + size_t(i / 4) * 64 + size_t(lane) * 4 + size_t(i % 4)] = uint8_t(int(q) + 128);
      }
    }
    // Padding of K inside the last group is q = 0, stored as 128, by the loop above.
  }
}

void unpackRow(const Matrix& m, int row, float* out) {
  const uint8_t* panel = m.data + size_t(row / PANEL) * m.stride;
  size_t lane = size_t(row % PANEL);
  int groups = (m.cols + GROUP - 1) / GROUP;
  for (int k = 0; k < m.cols; k++) {
    size_t g = size_t(k / GROUP), i = size_t(k % GROUP), at = size_t(k) * 16 + lane;
    switch (m.format) {
      case Format::F32: memcpy(out + k, panel + at * 4, 4); break;
      case Format::F16: out[k] = halfToFloat(read16(panel + at * 2)); break;
      case Format::BF16: {
        uint32_t bits = uint32_t(read16(panel + at * 2)) << 16;
        memcpy(out + k, &bits, 4);
        break;
      }
      case Format::Q4: {
        const uint8_t* group = panel + g * 320;
        int byte = group[(i / 8) * 64 + lane * 4 + i % 4], q = (i / 4) % 2 ? byte >> 4 : byte & 15;
        float scale = halfToFloat(read16(group + 256 + lane * 2)), minimum = halfToFloat(read16(group + 288 + lane * 2));
        out[k] = scale * float(q) + minimum;
        break;
      }
      default: {
        int q = int(panel[g * 512 + (i / 4) * 64 + lane * 4 + i % 4]) - 128;
        const uint8_t* scales = panel + size_t(groups) * 512;
        float scale;
        if (m.format == Format::Q8) scale = halfToFloat(read16(scales + g * 32 + lane * 2));
        else memcpy(&scale, scales + (g * 16 + lane) * 4, 4);
        out[k] = scale * float(q);
      }
    }
  }
}

}  // namespace idlm
