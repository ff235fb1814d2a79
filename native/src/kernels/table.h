// The interface between the kernels' translation units and the rest of the program: one table of plain functions per
// instruction set, and the structures that kernels and their callers share.
#pragma once
#include <cstddef>
#include <cstdint>

#include "constants.h"
#include "kernels/format.h"

namespace idlm {

constexpr int BLOCK = 64;  // floats per block whose largest value is kept for finding the largest few

// Quantised activations: one of these per 32 of K, so that a kernel needs one pointer per row.
struct ActGroup {
  int8_t q[GROUP];
  float scale;
  float scaledSum;     // scale * sum of q, multiplied by minimums
  int32_t minusSum;    // -(sum of q), multiplied by the zero point of codes
  int32_t minusFirst;  // the same for q[0..15], for weights with a scale per 16
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
  const float* bias = nullptr;  // [rows], padded to whole panels
  float* out = nullptr;         // [row][outStride]
  size_t outStride = 0;
  Matrix loraB;           // data null: none. cols = rank
  size_t loraOffset = 0;  // bytes into a gated row's block of t (integer) or floats * 4 (float)
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
  // From panel `limitPanel` on, only the first `limitRows` rows are computed (draft vocabulary).
  int limitPanel = 1 << 30, limitRows = 0;
  // Largest output of each panel for the rows from `maximaFrom` on: [row - maximaFrom][maximaStride]; null: not
  // computed.
  float* maxima = nullptr;
  size_t maximaStride = 0;
  int maximaFrom = 0;
};

constexpr int ATTENTION_QUERIES = 6;  // most rows times heads that attention computes together

struct AttentionRow {
  const float* q = nullptr;       // [group][dPad], rotated
  float* out = nullptr;           // [group][headDim]
  int length = 0;                 // number of ancestors whose slots are their positions
  const int32_t* tail = nullptr;  // slots of the other ancestors and its own, ascending
  int nTail = 0;
};

// Rows of one sequence at one KV head.
struct AttentionArgs {
  const AttentionRow* rows = nullptr;
  int nRows = 0;
  const void* cache = nullptr;           // of this layer and head
  size_t pageBytes = 0, vOffset = 0;     // a page: [kvHead][K: dPad x 16, V: 16 x dPad]
  const int32_t* pages = nullptr;        // block table of the sequence
  int group = 1, headDim = 0, dPad = 0;  // query heads per KV head
  int window = 0;                        // a row sees the last so many of its ancestors and itself; 0: all
  float scale = 0;
  bool half = true;
  float* scratch = nullptr;  // attentionScratch(dPad, scoreStride) floats
  size_t scoreStride = 0;    // padded positions
};

constexpr size_t attentionScratch(int dPad, int scoreStride) {
  return ATTENTION_QUERIES * (2 * size_t(dPad) + size_t(scoreStride));
}

// ---- gradients

// out[i][k] += sum over rows of y[row][i] x[row][k]. Strides are in floats; x and out are padded to 16 floats.
struct OuterArgs {
  const float* y = nullptr;
  size_t yStride = 0;
  int nY = 0;
  const float* x = nullptr;
  size_t xStride = 0;
  int nX = 0, nRows = 0;
  float* out = nullptr;
  size_t outStride = 0;
};

struct AttentionGradientRow {
  const float* dOut = nullptr;         // [group][dPad], zeros behind headDim
  float* dq = nullptr;                 // [group][dPad]
  float *dk = nullptr, *dv = nullptr;  // of this row's K and V, [dPad]: added to
};

// Gradients of a MASK run's attention at one KV head. Row r's tail are the slots of rows 0 to r; what is cached before
// is constant.
struct AttentionGradientArgs {
  AttentionArgs forward;  // scratch: attentionGradientScratch(dPad, scoreStride) floats
  const AttentionGradientRow* rows = nullptr;
  const void* mirror = nullptr;  // as the cache, with K and V exchanged
};

constexpr size_t attentionGradientScratch(int dPad, int scoreStride) {
  return ATTENTION_QUERIES * (3 * size_t(dPad) + 2 * size_t(scoreStride));
}

// Gradients of one KV head's attention in full training: row r attends to rows [0, lengths[r]) and [tails[r], r].
// Strides are in floats. Writes dq, dk and dv.
struct AncestorGradientArgs {
  int nRows = 0;
  const int32_t *lengths = nullptr, *tails = nullptr;
  int group = 1, headDim = 0;
  float scale = 0;
  const float *q = nullptr, *k = nullptr, *v = nullptr, *dOut = nullptr;  // q, dOut and dq: [row][group][headDim]
  float *dq = nullptr, *dk = nullptr, *dv = nullptr;
  size_t qStride = 0, kStride = 0, vStride = 0, outStride = 0, dqStride = 0, dkStride = 0, dvStride = 0;
  float* scratch = nullptr;  // ancestorGradientScratch(headDim, nRows) floats
};

constexpr int SCORE_SLOTS = 64;  // scores that are computed together
constexpr size_t paddedSlots(int nRows) {
  return (size_t(nRows) + SCORE_SLOTS - 1) / SCORE_SLOTS * SCORE_SLOTS + SCORE_SLOTS;
}
constexpr size_t paddedHead(int headDim) { return (size_t(headDim) + PANEL - 1) / PANEL * PANEL; }
constexpr size_t ancestorGradientScratch(int headDim, int nRows) {
  // K and V by dimension; K, dK and dV by row; query, its gradients; scores
  return paddedHead(headDim) * (2 * paddedSlots(nRows) + 3 * size_t(nRows) + 3) + 2 * paddedSlots(nRows);
}

// Loss of a MASK row (src/compute/gradients/row-losses.ts) and its gradient with respect to the logits, times `weight`.
struct RowLossArgs {
  const float *logits = nullptr, *target = nullptr;  // [n], n a multiple of 16
  int n = 0;
  float targetLargest = 0, targetSum = 1;  // over the whole vocabulary: p = e^(target - largest) / sum
  float kl = 0, tv = 0, logOverlap = 0, weight = 1;
  float *p = nullptr, *q = nullptr;  // scratch, [n]
  float* gradient = nullptr;         // [n]; null: not computed
};
struct RowLossResult {
  float loss = 0, overlap = 0;
};

struct AdamWArgs {
  float learningRate = 0, beta1 = 0, beta2 = 0, epsilon = 0, weightDecay = 0, factor = 1;
  float firstCorrection = 1, secondCorrection = 1;  // 1 - beta^step
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
  void (*attention)(const AttentionArgs&);
  // Largest packed logit, lowest id on a tie; `order` maps packed index to id (null: identity). False if not finite.
  bool (*argmax)(const float* logits, int n, const int32_t* order, int32_t* best);
  void (*blockMaxima)(const float* x, int n, float* out);
  float (*exponentials)(const float* x, int n, float largest, float* e);
  float (*logarithm)(float x);
  void (*divide)(float* x, int n, float by);
  void (*addGumbel)(const float* x, const int32_t* ids, int n, uint32_t word, uint32_t key, float* out);
  // The largest and those of at least `least`, with and without noise, by index: see sampling.h.
  int (*noisyBest)(const float* x, const int32_t* ids, int n, uint32_t word, uint32_t key);
  int (*noisyFrom)(const float* x, const int32_t* ids, int n, uint32_t word, uint32_t key, float least,
                   int32_t* indices, float* noisy);
  int (*indicesFrom)(const float* x, int n, float least, int32_t* indices);
  void (*readAll)(const float* x, size_t n, float* sink);
  size_t (*multiplyAll)(size_t rounds, int32_t* sink);
  void (*outer)(const OuterArgs&);
  void (*rmsnormGradient)(const float* x, const float* weight, const float* dy, int cols, float epsilon, float* dx,
                          bool add);
  void (*swigluGradient)(const float* gate, const float* up, const float* dm, int n, float* dGate, float* dUp);
  void (*siluGradient)(const float* x, const float* dy, int n, float* dx);
  void (*attentionGradient)(const AttentionGradientArgs&);
  void (*ancestorGradient)(const AncestorGradientArgs&);
  // Cross entropy of n logits, a multiple of 16; if requested they become their gradients, times `weight`.
  float (*crossEntropy)(float* logits, int n, int target, float weight, bool wantsGradient);
  int (*rankOf)(const float* x, int n, int at);
  void (*rowLoss)(const RowLossArgs&, RowLossResult&);
  void (*adamW)(const AdamWArgs&, float* values, const float* gradient, float* first, float* second, size_t n);
  void (*mathTest)(const float* x, float* y, int n, int which);
};

}  // namespace idlm
