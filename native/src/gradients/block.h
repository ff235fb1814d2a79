// A block of rows that one thread runs through a plan, forward (with the engine's bits) and backward. The results of a
// row do not depend on its block.
#pragma once
#include <atomic>
#include <functional>
#include <vector>

#include "gradients/clean_rows.h"
#include "gradients/products.h"
#include "gradients/training_program.h"

namespace idlm {

struct BlockRow {
  int token = 0;  // clean row: its token; MASK row: the token before the predicted one
  int position = 0, depth = 0;
  int anchor = 0;  // MASK row: its anchor, as a row of the sequence
  const CleanSequence* sequence = nullptr;
};

// Rows of one sequence with the same block table.
struct BlockRun {
  int first = 0, n = 0;        // rows of the block
  int length = 0;              // MASK run: number of clean rows it attends to; clean rows: 0
  std::vector<int32_t> pages;  // of layers from the entry layer on
  std::vector<int32_t> early;  // of those before, clean rows only
};

// Gradients of all trainable parameters, by index; rows are padded to 16 floats.
struct GradientBuffers {
  struct Buffer {
    int rows = 0, cols = 0, stride = 0;
    std::vector<float> values;
    bool exists() const { return stride > 0; }
  };
  std::vector<Buffer> of;
};

// A thread's memory.
struct BlockMemory {
  std::vector<float> floats, cosine, sine, minusSine, attention, inner, queries, slopes, querySlopes, keySlopes,
      valueSlopes;
  QuantisedRows rows, lowRank;
};

// Runs the additions to a node's parameter gradients in the order of the blocks.
using InOrder = std::function<void(size_t node, const std::function<void()>& add)>;

class Block {
 public:
  // `early` has the layers before the entry layer, of clean rows.
  Block(const TrainingProgram& program, const Plan& plan, const AttentionMemory& late, const AttentionMemory* early,
        BlockMemory& memory, std::vector<BlockRow> rows, std::vector<BlockRun> runs);

  // `beforeAttention(layer)`: this block's K and V of a layer are stored; returns when those it attends to are stored,
  // too.
  void forward(const std::function<void(int)>& beforeAttention);
  // Starts from the gradients of the input of the logits.
  void backward(GradientBuffers& gradients, const InOrder& inOrder);

  int nRows() const { return n_; }
  const BlockRow& row(int r) const { return rows_[size_t(r)]; }
  float* value(int id, int r) const { return at(plan_.values[size_t(id)], r); }
  float* slope(int id, int r) const { return at(plan_.gradients[size_t(id)], r); }
  int valueStride(int id) const { return plan_.values[size_t(id)].stride; }
  int slopeStride(int id) const { return plan_.gradients[size_t(id)].stride; }
  BlockMemory& memory() { return memory_; }

 private:
  float* at(const Place& p, int r) const {
    return memory_.floats.data() + p.offset * size_t(n_) + size_t(r) * size_t(p.stride) + size_t(p.column);
  }
  int stride(int id) const { return plan_.values[size_t(id)].stride; }
  int width(int id) const { return plan_.widths[size_t(id)]; }
  const float* ofDepth(int parameter, int r) const;
  // Adds rows to a value's gradient, or initialises it with them.
  void flow(const float* from, size_t fromStride, int id, bool adds);
  void linear(const Node& n);
  void rotate(const Node& n);
  void attention(const Node& n, const std::function<void(int)>& beforeAttention);
  void linearGradient(const Node& n, size_t index, GradientBuffers& gradients, const InOrder& inOrder);
  void embeddingGradient(const Node& n, size_t index, GradientBuffers& gradients, const InOrder& inOrder);
  void attentionGradient(const Node& n);
  void ancestorGradient(const Node& n);
  void normWeightGradient(const Node& n, size_t index, GradientBuffers& gradients, const InOrder& inOrder);
  AttentionArgs attentionArgs(const Node& n, const BlockRun& run, int head);
  int slotOf(const BlockRun& run, int row) const;
  // Heads as the kernels read them, padded to dPad: [row][head][dPad]; without padding the rows themselves.
  struct Heads {
    float* data;
    size_t stride;
  };
  Heads paddedHeads(float* rows, size_t stride, int nHeads, std::vector<float>& memory, bool copies) const;
  void unpadHeads(const Heads& from, float* rows, size_t stride, int nHeads) const;

  const TrainingProgram& p_;
  const KernelTable& k_;
  const Plan& plan_;
  const AttentionMemory& late_;
  const AttentionMemory* early_;
  BlockMemory& memory_;
  std::vector<BlockRow> rows_;
  std::vector<BlockRun> runs_;
  std::vector<std::vector<int32_t>> tails_;  // of each run: slots of its rows
  int n_;
  size_t scoreStride_ = 0;
};

}  // namespace idlm
