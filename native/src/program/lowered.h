// A program ready to run: steps over packed weights, and buffers that share memory as far as lifetimes allow. Immutable
// except for trainable parameters.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "kernels/table.h"
#include "program/source.h"
#include "program/weights.h"

namespace idlm {

constexpr int MAX_PARTS = 8;  // products of one step

// A value as floats for every row, and quantised if integer products read it.
struct Buffer {
  int cols = 0, width = 0;     // width: cols padded to 16 floats
  size_t offset = 0;           // floats, per row of capacity
  size_t quantisedStride = 0;  // bytes; 0: not quantised
  size_t quantisedOffset = 0;  // bytes, per row of capacity
};

struct Step;
struct Run;
// Runs a thread's share of a step.
using StepFunction = void (*)(Run& run, const Step& step);

struct LoweredPart {
  Matrix weight, loraA, loraB;
  const float* bias = nullptr;
  int out = NONE;
  // For gated rows: bytes into t, floats into t before quantisation.
  size_t loraOffset = 0, loraFirst = 0;
};

// Work of all threads between two barriers. Buffers are indices.
struct Step {
  const char* name = "";
  StepFunction run = nullptr;
  RowSet rows = RowSet::All;
  int x = NONE, y = NONE, v = NONE, out = NONE;  // attention: q, k, v
  int gate = NONE, up = NONE;
  int rotated = NONE;  // queries in the layout of attention, [head][dPad]
  int layer = NONE;
  int heads = 0, kvHeads = 0, headDim = 0, window = 0;
  int cols = 0;
  const float *vector = nullptr, *scale = nullptr;
  float epsilon = 0;
  bool rotates = false;  // RotateStore: false if q and k are already rotated
  bool canQuantise = false,
       quantises = false;  // the result is input of an integer product and is quantised by this step
  bool integer = false;    // an integer product, which reads quantised rows
  Epilogue epilogue = Epilogue::Store;
  std::vector<LoweredPart> parts;
  size_t tStride = 0, lowRankStride = 0;
  bool hasLora = false;
};

// The KV cache of one layer: pages of [kvHead][K: dPad x 16, V: 16 x dPad].
struct CacheLayer {
  int kvHeads = 0, headDim = 0, dPad = 0;
  size_t headBytes = 0, pageBytes = 0;
  size_t before = 0;  // bytes per page of the previous layers
};

struct HeadCounts {
  int heads = 0, kvHeads = 0;
};

// The sampler head: h + second · silu(first · [h; e / rms(e)]), e the embedding of the previous token.
struct SamplerHead {
  Matrix first, second;  // without data: no sampler head
  float epsilon = 0;
};

// h + silu(weight · h + bias)
struct ExtraHead {
  Matrix weight;
  const float* bias = nullptr;  // [hidden], padded
};

struct LoweredProgram {
  LoweredProgram(const ProgramSource& source, std::shared_ptr<const BaseWeights> shared) : weights(source, shared) {}

  int hidden = 0, vocab = 0;
  bool halfCache = false;
  std::vector<double> inverseFrequencies;
  double attentionFactor = 1;
  bool hasMask = false;
  int nDepths = 0, entryLayer = 0;

  Weights weights;
  Matrix embedding, output;
  bool embeddingIsOutput = false;  // one matrix for both, with rows in the output's order
  SamplerHead samplerHead;
  std::vector<ExtraHead> extraHeads;

  std::vector<CacheLayer> layers;
  std::vector<HeadCounts> headCounts;  // distinct head counts
  size_t cachePageBytes = 0;           // of all layers

  std::vector<Step> steps;
  std::vector<Buffer> buffers;
  size_t bufferWidth = 0, quantisedWidth = 0;  // floats and bytes, per row of capacity
  size_t tWidth = 0, lowRankWidth = 0;
  int hiddenBuffer = NONE;
  // Values by id, and their buffers at the end of a forward; NONE: not kept.
  std::vector<ValueSource> values;
  std::vector<int> valueBuffers;

  int rowOf(int token) const {
    const std::vector<int32_t>& inverse = weights.base().inverse;
    return inverse.empty() ? token : inverse[size_t(token)];
  }
};

struct LoweringOptions {
  std::shared_ptr<const BaseWeights> shared;  // null: all weights were packed for this program
  // Keeps every value to the end of a forward, each in its own memory. Only linear results that a low-rank term is
  // added to are still fused.
  bool keepsValues = false;
};

// Packs the weights and lowers the lists. Throws std::invalid_argument with the operation that is invalid or unknown.
std::shared_ptr<LoweredProgram> lowerProgram(const ProgramSource& source, const LoweringOptions& options, Pool& pool);

}  // namespace idlm
