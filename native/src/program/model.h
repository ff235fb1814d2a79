// A program made ready to run: operations lowered to steps over packed weights, and the memory that a forward needs.
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "executor/arena.h"
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
enum class Rows { Tokens, All, Wanted };

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

struct SequenceInput {
  int length = 0;
  std::vector<int32_t> pages;
};

struct DrawInput {
  int row = 0;
  std::shared_ptr<SamplerState> sampler;
  int64_t position = 0;
  std::vector<int32_t> extra;
  std::shared_ptr<const Trial> trial;  // null: none
};

struct ForestInput {
  std::vector<SequenceInput> sequences;
  std::vector<int32_t> tokens, positions, parents, sequence;
  std::vector<uint8_t> gate, wanted;
  std::vector<DrawInput> draws;
};

class Model {
 public:
  Model(const ProgramSource& source, std::shared_ptr<Pool> pool, const KernelTable* kernels);
  std::shared_ptr<KvCache> createCache(int nPages) const;
  // Throws std::invalid_argument for a forest that is not well-formed; checks everything that memory depends on.
  void prepare(const ForestInput& forest, const KvCache& cache);
  void forward(KvCache& cache);
  void moveKv(KvCache& cache, const std::vector<int32_t>& pages, const std::vector<int32_t>& from,
              const std::vector<int32_t>& to);

  // Results of the last forward, by forest row.
  int wantedIndex(int row) const { return row >= 0 && row < int(wantedOf_.size()) ? wantedOf_[size_t(row)] : NONE; }
  bool isMask(int row) const { return forest_.tokens[size_t(row)] < 0; }
  void hidden(int row, float* out) const;
  int logitsLength(int row) const;
  void logits(int row, float* out) const;
  // Logits of a MASK row over the draft vocabulary after the sampler head.
  void logitsAfterHead(int row, int previous, float* out);
  void propose(const DrawInput& draw, int previous, int count, bool forRejection, Proposed& out);

  std::vector<DrawResult> drawn;   // one per draw
  std::vector<int32_t> topTokens;  // [draw][MAX_LOGPROBS]
  std::vector<float> topLogprobs;

  // Extra heads of a token row: its logits over the draft vocabulary (by id where there is none), and proposals from
  // them.
  int extraLogitsLength() const { return draftSize_ > 0 ? draftSize_ : vocab_; }
  void extraLogits(int row, int head, float* out);
  void proposeExtra(const DrawInput& draw, int head, int count, bool forRejection, Proposed& out);

  bool hasLogprobs(size_t draw) const { return forest_.draws[draw].sampler->settings.logprobs >= 0; }

  size_t weightBytes() const { return weightBytes_; }
  int vocabSize() const { return vocab_; }
  int hiddenSize() const { return hidden_; }
  int threads() const { return pool_->threads(); }
  const KernelTable& kernels() const { return *kernels_; }
  std::map<std::string, double> timings;  // ms of the last forward by kind of step, if profile is on
  bool profile = false;

 private:
  struct Row {
    int token, position, depth, anchor, sequence, slot, nTail;
    size_t tail;
    bool identity, gated;
  };
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
  void reserve(int rows, int wanted, int positions);
  void runStep(const Step& step, int index, int thread, KvCache& cache);
  void linearStep(const Step& step, int index, int thread);
  void loraStep(const Step& step, int index, int thread);
  void drawRow(size_t i, int thread);
  int activeRows(Rows rows) const;
  void product(const Matrix& m, const float* x, float* out, const int32_t* panels, int nPanels);
  const float* afterHead(int row, int previous);
  const float* extraHead(int row, int head);
  Matrix draftOutput() const;
  void makeShortlist(const float* logits, int n, const float* maxima, const DrawInput& draw, int count,
                     bool forRejection);
  void noisyShortlist(int n, NoiseKey key, int count);
  void proposeFromShortlist(const DrawInput& draw, int count, bool forRejection, Purpose purpose, Proposed& out);
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
  Matrix embedding_, output_, w1_, w2_;
  struct ExtraHead {
    Matrix weight;
    std::vector<float> bias;
    std::vector<float> logits;  // of `row` of the last forward, in the order of the output matrix
    int row = NONE;
  };
  std::vector<ExtraHead> extraHeads_;
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
  int capacity_ = 0, wantedCapacity_ = 0, scoreCapacity_ = 0;
  Arena bufferMemory_, quantisedMemory_, tMemory_, logitsMemory_;
  size_t logitsStride_ = 0;
  std::vector<float> logitMaxima_;  // [wanted MASK row][panel]
  std::vector<std::vector<float>> attentionScratch_;
  std::vector<std::vector<float>> scratch_;
  std::vector<uint8_t> headBlock_;
  std::vector<float> headScratch_, headLogits_, panelLogits_, maxima_, blockMaxima_, noisy_;
  std::vector<int32_t> noisyIndices_;
  std::vector<float> cosine_, sine_;
  std::vector<SamplerScratch> samplerScratch_;  // a thread each, and one for proposals
  std::vector<int32_t> shortlist_, shortlistPanels_;
  std::vector<float> lowRank_;
  std::atomic<int> lowRankDone_[MAX_PARTS] = {};
  std::unique_ptr<std::atomic<int>[]> counters_;
  Barrier barrier_;

  ForestInput forest_;
  std::vector<Row> rows_;        // token rows first
  Tiling tokenTiling_, tiling_;  // of the token rows; of all
  std::vector<int32_t> tails_, gatedIndex_, wantedOf_, wantedRows_;
  int nTokens_ = 0, nWanted_ = 0, nWantedTokens_ = 0, nGated_ = 0, nGatedTokens_ = 0;
};

}  // namespace idlm
