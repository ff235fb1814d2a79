// What a translation unit of kernels offers to the rest of the program: one table of plain functions per instruction
// set. The structures here are the layouts that kernels and their callers share.
//
// Panels. A matrix [rows = outputs, cols = K] is cut into panels of 16 outputs; in a panel the outputs lie over the
// lanes and K is walked in order, so that every output is one fixed chain of operations, whatever the number of rows,
// threads or lanes. Formats of a panel, K in groups of 32:
//   Q4   per group 256 bytes of nibbles, then 16 f16 scales and 16 f16 minimums (w = scale q + minimum, q 0..15).
//        64-byte load j of a group holds for lane l at bytes 4l..4l+3: low nibbles k = 8j..8j+3, high k = 8j+4..8j+7.
//   Q8   all groups' bytes, 512 each (load j: lane l, k = 4j..4j+3; stored as q + 128), then 16 f16 scales a group.
//   Q8S  as Q8 with f32 scales (what is quantised here: adapters).
//   F32, F16, BF16: [K][16].
#pragma once
#include <cstddef>
#include <cstdint>

namespace idlm {

enum class Format : int { Q4, Q8, Q8S, F32, F16, BF16 };

constexpr int GROUP = 32;   // K per scale, of weights and of activations
constexpr int PANEL = 16;   // outputs per panel
constexpr int PAGE = 16;    // positions per KV page and per attention block

inline bool isInteger(Format f) { return f == Format::Q4 || f == Format::Q8 || f == Format::Q8S; }

inline size_t panelBytes(Format f, int cols) {
  size_t groups = size_t(cols + GROUP - 1) / GROUP;
  switch (f) {
    case Format::Q4: return groups * 320;
    case Format::Q8: return groups * 512 + (groups * 32 + 63) / 64 * 64;
    case Format::Q8S: return groups * 576;
    case Format::F32: return (size_t(cols) * 64);
    default: return (size_t(cols) * 32 + 63) / 64 * 64;
  }
}

// A row of activations as integer kernels read it: one of these per 32 of K, so that a kernel needs one pointer a row.
struct ActGroup {
  int8_t q[GROUP];
  float scale;
  float scaledSum;  // scale * sum of q: what a minimum is multiplied by
  int32_t offset;   // -128 * sum of q: 8-bit weights are stored as q + 128
  int32_t unused;
};
static_assert(sizeof(ActGroup) == 48, "groups are read at fixed offsets");

struct Quantised {
  // Bytes per row.
  static size_t stride(int cols) { return (size_t(cols + GROUP - 1) / GROUP * sizeof(ActGroup) + 63) / 64 * 64; }
};

struct Matrix {
  const uint8_t* data = nullptr;
  size_t stride = 0;  // bytes per panel
  Format format = Format::F32;
  int rows = 0, cols = 0;
  int panels() const { return (rows + PANEL - 1) / PANEL; }
};

struct LinearPart {
  Matrix weight;
  const float* bias = nullptr;  // [rows], padded to panels
  float* out = nullptr;         // [row][outStride]
  size_t outStride = 0;
  Matrix loraB;                 // data null: none. cols = rank
  size_t loraOffset = 0;        // bytes into a gated row's block of t (integer) or floats * 4 (float)
};

enum class Epilogue : int { Store, Add, SwigluQuantised, Swiglu };

struct LinearArgs {
  const LinearPart* parts = nullptr;
  int nParts = 0;
  const uint8_t* x = nullptr;  // rows: Quantised blocks or float32
  size_t xStride = 0;          // bytes
  int nRows = 0;
  Epilogue epilogue = Epilogue::Store;
  const int32_t* gated = nullptr;  // per row: index of its row in t, or -1; null: no row is gated
  const uint8_t* t = nullptr;
  size_t tStride = 0;
  uint8_t* quantisedOut = nullptr;  // SwigluQuantised: rows of Quantised blocks
  size_t quantisedStride = 0;
  // From panel `limitPanel` on only the first `limitRows` rows are computed (draft vocabulary).
  int limitPanel = 1 << 30, limitRows = 0;
};

struct AttentionArgs {
  const float* q = nullptr;  // [row][head][dPad], rotated
  size_t qStride = 0;
  const void* cache = nullptr;  // of this layer
  size_t pageBytes = 0, vOffset = 0, headBytes = 0;  // a page: [kvHead][K: dPad x 16, V: 16 x dPad]
  const int32_t* pages = nullptr;   // block table of the row's sequence
  int length = 0;                   // positions that are in the cache already
  const int32_t* tail = nullptr;    // slots of the row's ancestors in the forest and its own, ascending
  int nTail = 0;
  int group = 1, headDim = 0, dPad = 0;  // query heads per KV head
  float scale = 0;
  bool half = true;
  float* scores = nullptr;  // scratch [group][padded positions]
  size_t scoreStride = 0;
  float* out = nullptr;      // [group * headDim] of this row and KV head
};

struct KernelTable {
  const char* name;
  void (*linear)(const LinearArgs&, int beginItem, int endItem);
  void (*quantise)(const float* x, int cols, uint8_t* out);
  void (*quantiseGroups)(const float* x, uint8_t* out, int first, int n);
  void (*rmsnorm)(const float* x, const float* weight, int cols, float epsilon, float* out);
  void (*add)(float* x, const float* y, int n);
  void (*swiglu)(const float* gate, const float* up, float* out, int n);
  void (*silu)(float* x, int n);
  void (*rope)(float* x, const float* cosine, const float* sine, int headDim);
  void (*storeKv)(const float* k, const float* v, void* page, int lane, int headDim, int dPad, bool half);
  void (*attention)(const AttentionArgs&, const float* q);
  // Best of packed logits, lowest id on a tie; `order` maps packed index to id (null: identity). False if not finite.
  bool (*argmax)(const float* logits, int n, const int32_t* order, int32_t* best);
  float (*exponentials)(const float* x, int n, float largest, float* e);
  float (*logarithm)(float x);
  void (*divide)(float* x, int n, float by);
  void (*addGumbel)(const float* x, const int32_t* ids, int n, uint32_t word, uint32_t key, float* out);
  void (*readAll)(const float* x, size_t n, float* sink);
  void (*mathTest)(const float* x, float* y, int n, int which);
};

}  // namespace idlm
