// A program made ready to run: operations lowered to steps over packed weights, and the memory that a forward needs.
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "executor/arena.h"
#include "executor/heads.h"
#include "executor/layout.h"
#include "executor/lookahead.h"
#include "executor/pool.h"
#include "kernels/table.h"
#include "program/pack.h"
#include "sampling/sampler.h"

namespace idlm {

// ---- what JavaScript hands over (src/compute/program/program.ts), pointers valid until Model's constructor returns

struct WeightSource {
  int rows = 0, cols = 0;
  std::string type;
  const uint8_t* bytes = nullptr;
  size_t size = 0;
  std::vector<int32_t> order;  // empty: identity
};

struct LoraSource {
  int rank = 0;
  const float *a = nullptr, *b = nullptr;
  float scale = 1;
};

struct PartSource {
  std::string weight, bias, out;
  LoraSource lora;  // rank 0: none
};

struct OperationSource {
  std::string kind, x, y, weight, out, q, k, v, gate, up;
  float epsilon = 0;
  int layer = 0;
  std::vector<PartSource> parts;
};

struct ExtraHeadSource {
  const float *weight = nullptr, *bias = nullptr;  // [hidden, hidden], [hidden]
};

struct ProgramSource {
  std::map<std::string, int> buffers;
  std::map<std::string, WeightSource> weights;
  std::vector<OperationSource> operations;
  int nLayers = 0, hiddenSize = 0, vocabSize = 0, nHeads = 0, nKvHeads = 0, headDim = 0;
  bool halfCache = false;
  std::vector<double> inverseFrequencies;
  double attentionFactor = 1;
  bool hasMask = false, sharedByDepth = false;
  std::vector<float> maskEmbedding;
  int nDepths = 0, entryLayer = 0;
  float entryScale = 1;
  std::vector<int32_t> draftVocabulary;
  const float *w1 = nullptr, *w2 = nullptr;
  std::vector<ExtraHeadSource> extraHeads;
};

// ---- lowered

enum class StepKind {
  Embed,
  Enter,
  Norm,
  HeadNorm,
  LoraA,
  Linear,
  Swiglu,
  Add,
  RotateStore,
  Attention,
  Quantise,
  Gather,
  Logits,
  Draw
};
enum class Rows { Tokens, All, Outputs };

constexpr int NONE = -1;

constexpr int MAX_PARTS = 8;  // products of one step

struct LoweredPart {
  Matrix weight, loraA, loraB;
  const float* bias = nullptr;
  int out = NONE;
  size_t loraOffset = 0,
         loraFirst = 0;  // of its part of a gated row: bytes into t, floats into what t is quantised from
};

struct Step {
  StepKind kind;
  Rows rows;
  int x = NONE, y = NONE, out = NONE, gate = NONE, up = NONE;
  int layer = 0, heads = 0, cols = 0;
  const float* vector = nullptr;
  float epsilon = 0;
  bool quantise = false;  // the result (of norm, attention, swiglu) is read by an integer product
  bool integer = false;   // this product reads quantised rows
  Epilogue epilogue = Epilogue::Store;
  std::vector<LoweredPart> parts;
  size_t tStride = 0, lowRankStride = 0;
  bool hasLora = false;
};

class KvCache {
 public:
  KvCache(int nPages, size_t bytes, size_t layerBytes) : nPages(nPages), layerBytes(layerBytes), memory(bytes) {}
  const int nPages;
  const size_t layerBytes;
  Arena memory;
};

class Model {
 public:
  Model(const ProgramSource& source, std::shared_ptr<Pool> pool, const KernelTable* kernels);
  std::shared_ptr<KvCache> createCache(int nPages) const;
  // Throws std::invalid_argument for a layout or requests that memory safety does not allow.
  void prepare(std::vector<int32_t>&& layout, SamplingInput&& sampling, const KvCache& cache);
  void forward(KvCache& cache);
  void moveKv(KvCache& cache, const std::vector<int32_t>& pages, const std::vector<int32_t>& from,
              const std::vector<int32_t>& to);

  // Results of the last forward, by forest row.
  void hidden(int row, float* out) const;
  int logitsLength(int row) const;
  void logits(int row, float* out) const;
  OutputRows outputRows();
  Heads& heads() { return proposalHeads_; }
  Pool& pool() { return *pool_; }

  std::vector<DrawResult> drawn;   // one per draw
  std::vector<int32_t> topTokens;  // [draw][MAX_LOGPROBS]
  std::vector<float> topLogprobs;
  // One per lookahead.
  const std::vector<Lookaheads::Result>& lookaheads() const { return lookaheads_.results(); }

  bool hasLogprobs(size_t draw) const { return sampling_.draws[draw].sampler->settings.logprobs >= 0; }

  size_t weightBytes() const { return weightBytes_; }
  int vocabSize() const { return vocab_; }
  int hiddenSize() const { return hidden_; }
  int threads() const { return pool_->threads(); }
  const KernelTable& kernels() const { return *kernels_; }
  std::map<std::string, double> timings;  // ms of the last forward by kind of step, if profile is on
  bool profile = false;

 private:
  // Rows by sequence, and which of them attention takes together.
  struct Tiling {
    struct Tile {
      int first, n, sequence;
    };
    std::vector<int32_t> rows;
    std::vector<Tile> tiles;
  };
  struct Lowering;
  friend struct Lowering;

  float* buffer(int id) const {
    return bufferMemory_.data()
               ? reinterpret_cast<float*>(bufferMemory_.data()) + bufferOffset_[size_t(id)] * size_t(capacity_)
               : nullptr;
  }
  uint8_t* quantised(int id) const {
    return quantisedMemory_.data() + quantisedOffset_[size_t(id)] * size_t(capacity_);
  }
  Tiling tilingOf(int nRows) const;
  void reserve(int rows, int outputs, int positions);
  void runStep(const Step& step, int index, int thread, KvCache& cache);
  void linearStep(const Step& step, int index, int thread);
  void loraStep(const Step& step, int index, int thread);
  void drawRow(size_t i, int thread);
  int activeRows(Rows rows) const;
  void nextLevel();
  template <class Fn>
  void items(int step, int thread, int n, int chunk, Fn fn);

  std::shared_ptr<Pool> pool_;
  const KernelTable* kernels_;
  int layers_, hidden_, vocab_, heads_, kvHeads_, headDim_, dPad_;
  bool half_;
  std::vector<double> inverseFrequencies_;
  double attentionFactor_;
  bool hasMask_, sharedByDepth_;
  std::vector<float> maskEmbedding_;
  int depths_, entryLayer_;
  float entryScale_, attentionScale_;
  int draftSize_ = 0;
  std::vector<int32_t> order_, inverse_;  // output row <-> id; empty: identity
  Matrix embedding_, output_;
  Heads proposalHeads_;
  bool head_ = false, embeddingIsOutput_ = false;
  float epsilon_ = 0;  // of the final norm

  Arena weightMemory_;
  size_t weightBytes_ = 0;
  std::vector<std::vector<float>> vectors_;

  std::vector<Step> steps_;
  std::vector<int> widths_;           // floats per row, padded to 16
  std::vector<size_t> bufferOffset_;  // floats per row of capacity
  size_t bufferWidth_ = 0;
  std::vector<size_t> quantisedStride_, quantisedOffset_;
  size_t quantisedWidth_ = 0, tWidth_ = 0, lowRankWidth_ = 0;
  int qRotated_ = NONE, logitsX_ = NONE;

  // Memory of a forward, grown when needed and kept.
  int capacity_ = 0, outputCapacity_ = 0, scoreCapacity_ = 0;
  Arena bufferMemory_, quantisedMemory_, tMemory_, logitsMemory_;
  size_t logitsStride_ = 0;
  std::vector<float> logitMaxima_;  // [wanted MASK row][panel]
  std::vector<std::vector<float>> attentionScratch_;
  std::vector<std::vector<float>> scratch_;
  std::vector<float> cosine_, sine_;
  std::vector<SamplerScratch> samplerScratch_;  // a thread each
  std::vector<float> lowRank_;
  std::atomic<int> lowRankDone_[MAX_PARTS] = {};
  std::unique_ptr<std::atomic<int>[]> counters_;
  Barrier barrier_;

  ForestLayout layout_;
  SamplingInput sampling_;
  Tiling tokenTiling_, tiling_;  // of the token rows; of all
  std::vector<int32_t> gatedIndex_;
  int nGated_ = 0, nGatedTokens_ = 0;
  Lookaheads lookaheads_;
  std::vector<Proposed> levelAnswers_;
  bool hasLevel_ = false;
};

}  // namespace idlm
