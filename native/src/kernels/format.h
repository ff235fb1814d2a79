// Layout of weights in memory.
//
// Panels. A matrix [rows = outputs, cols = K] is cut into panels of 16 outputs; in a panel the outputs are spread over
// the lanes and K is processed in order, so that every output is one fixed chain of operations, whatever the number of
// rows, threads or lanes.
//
// Integer panels have K in groups of 32, and groups in chunks (the last chunk may have fewer): 8 if groups share a
// super-scale, else as many as fill a cache line with scales. A chunk holds the groups' codes, then all scales, padded
// to 64 bytes.
//   Codes of a group: 64 bytes per bit. Four successive K of a lane are four successive bytes, a "quad"; a group
//   has quads 0 to 7. 8-bit codes: line j holds quad j of all lanes. Smaller codes are split into planes, one after
//   another:
//     4-bit plane, 4 lines: line j holds quad 2j in its low nibbles and 2j + 1 in the high ones;
//     2-bit plane, 2 lines: line i holds quads 4i to 4i + 3, from the low bits up;
//     1-bit plane, 1 line: quads 0 to 7, from the low bit up.
//   5 bits are a 4-bit and a 1-bit plane, 6 bits 4 and 2, 3 bits 2 and 1; lower bits of a code come first.
//   Scales of a chunk: those shared by its groups (16 f16 super-scales, 16 f16 super-minimums), then 16 numbers per
//   group of each kind in `Scales`.
// Float panels (F32, F16, BF16) are [K][16].
#pragma once
#include <cstddef>
#include <cstdint>

namespace idlm {

// Integer formats: name, elements and bytes of a block as stored in a file (0: not stored), bits of a code, log2 of the
// zero point of codes (-1: none), scales, whether codes are indices into `iq4Values`. They are named after the ggml
// types whose integers and scales they keep bit for bit (src/formats/tensor/tensor-type.ts). Q8S is for matrices
// quantised here: adapters.
#define IDLM_INTEGER_FORMATS(X)              \
  X(Q4_0, 32, 18, 4, 3, Half, false)         \
  X(Q4_1, 32, 20, 4, -1, HalfMin, false)     \
  X(Q5_0, 32, 22, 5, 4, Half, false)         \
  X(Q5_1, 32, 24, 5, -1, HalfMin, false)     \
  X(Q8_0, 32, 34, 8, 7, Half, false)         \
  X(Q8S, 0, 0, 8, 7, Float, false)           \
  X(Q2_K, 256, 84, 2, -1, SuperMin16, false) \
  X(Q3_K, 256, 110, 3, 2, Super16, false)    \
  X(Q4_K, 256, 144, 4, -1, SuperMin, false)  \
  X(Q5_K, 256, 176, 5, -1, SuperMin, false)  \
  X(Q6_K, 256, 210, 6, 5, Super16, false)    \
  X(IQ4_NL, 32, 18, 4, 7, Half, true)        \
  X(IQ4_XS, 256, 136, 4, 7, Super, true)

#define IDLM_FLOAT_FORMATS(X)      \
  X(F32, 1, 4, 0, -1, None, false) \
  X(F16, 1, 2, 0, -1, None, false) \
  X(BF16, 1, 2, 0, -1, None, false)

#define IDLM_FORMATS(X) IDLM_INTEGER_FORMATS(X) IDLM_FLOAT_FORMATS(X)

enum class Format : int {
#define IDLM_FORMAT(name, ...) name,
  IDLM_FORMATS(IDLM_FORMAT)
#undef IDLM_FORMAT
};

constexpr int GROUP = 32;  // K per scale of activations and per group of weights
constexpr int PANEL = 16;  // outputs per panel

enum class Scales : int {
  None,
  Float,       // f32 per group
  Half,        // f16 per group
  HalfMin,     // f16 scale and f16 minimum per group
  Super,       // f16 per chunk times i8 per group
  SuperMin,    // f16 scale and f16 minimum per chunk, times u8 and u8 per group
  Super16,     // f16 per chunk times i8 per half group
  SuperMin16,  // f16 scale and f16 minimum per chunk, times 4 and 4 bits (low: scale) per half group
};

struct Layout {
  int bits;  // of a code; 0: floats
  int zero;  // log2 of the zero point of codes; -1: none
  Scales scales;
  bool table;  // codes are indices into `iq4Values`
};

constexpr Layout layoutOf(Format f) {
  switch (f) {
#define IDLM_FORMAT(name, elements, bytes, bits, zero, scales, table) \
  case Format::name:                                                  \
    return {bits, zero, Scales::scales, table};
    IDLM_FORMATS(IDLM_FORMAT)
#undef IDLM_FORMAT
  }
  return {0, -1, Scales::None, false};
}

// ggml-common.h, kvalues_iq4nl, plus 128: unsigned bytes.
constexpr uint8_t iq4Values[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};

constexpr bool isInteger(Format f) { return layoutOf(f).bits > 0; }

// Bytes of the codes of one group.
constexpr size_t codeBytes(int bits) { return size_t(bits) * GROUP * PANEL / 8; }

// Bytes of a chunk's scales before those of its first group, and bytes per group.
constexpr size_t superBytes(Scales s) {
  return s == Scales::Super || s == Scales::Super16         ? 2 * PANEL
         : s == Scales::SuperMin || s == Scales::SuperMin16 ? 4 * PANEL
                                                            : 0;
}
constexpr size_t groupScaleBytes(Scales s) {
  switch (s) {
    case Scales::None:
      return 0;
    case Scales::Super:
      return PANEL;
    case Scales::Float:
    case Scales::HalfMin:
      return 4 * PANEL;
    default:
      return 2 * PANEL;
  }
}

// Groups of a full chunk: 8 are a block of the K types.
constexpr int chunkOf(Scales s) { return superBytes(s) > 0 ? 8 : groupScaleBytes(s) == 64 ? 1 : 2; }

// Bytes of the scales of a chunk of n groups.
constexpr size_t scaleBytes(Scales s, int n) { return (superBytes(s) + groupScaleBytes(s) * size_t(n) + 63) / 64 * 64; }

constexpr size_t chunkBytes(Format f, int n) {
  return size_t(n) * codeBytes(layoutOf(f).bits) + scaleBytes(layoutOf(f).scales, n);
}

inline size_t panelBytes(Format f, int cols) {
  if (f == Format::F32) return size_t(cols) * 64;
  if (!isInteger(f)) return (size_t(cols) * 32 + 63) / 64 * 64;
  int groups = (cols + GROUP - 1) / GROUP, chunk = chunkOf(layoutOf(f).scales);
  return size_t(groups / chunk) * chunkBytes(f, chunk) + (groups % chunk ? chunkBytes(f, groups % chunk) : 0);
}

// Location of group g of a panel with `groups` groups: its codes, the scales of its chunk, its index in the chunk.
struct GroupAt {
  size_t codes, scales;
  int place;
};
inline GroupAt groupAt(Format f, int groups, int g) {
  int whole = chunkOf(layoutOf(f).scales), place = g % whole,
      n = groups - (g - place) < whole ? groups - (g - place) : whole;
  size_t base = size_t(g / whole) * chunkBytes(f, whole), bytes = codeBytes(layoutOf(f).bits);
  return {base + size_t(place) * bytes, base + size_t(n) * bytes, place};
}

}  // namespace idlm
