// Transposed matrices for the backward. Frozen matrices of integer types are requantised to Q8S, since their groups run
// along the other dimension. Trained matrices stay float32 and are packed again after each step.
#pragma once
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "gradients/plan.h"
#include "program/weights.h"

namespace idlm {

struct TransposedNode {
  Matrix base;                // all parts side by side: [inputs of the node, results of its parts]
  Matrix lowRank;             // A of all parts: [inputs, low-rank products]; without data: no LoRA
  std::vector<Matrix> inner;  // of each part: its B times the scale, [rank, results]
};

class TransposedWeights {
 public:
  // Packs the matrices of nodes that have a gradient, by node; all in float32 if the backward is exact.
  TransposedWeights(const Plan& plan, const ProgramSource& source, const Weights& weights, bool isExact, Pool& pool);
  const TransposedNode& node(size_t i) const { return nodes_[i]; }
  // Packs the trained matrices with new values.
  void replace(const std::vector<Replacement>& replacements, Pool& pool);
  size_t bytes() const { return memory_.size(); }

 private:
  // Row k of a trained parameter, times the scale, is column `firstColumn` + k of a transposed matrix.
  struct Trained {
    int parameter;
    const Matrix* to;
    int firstColumn, rows, cols;
    float scale;
  };
  void packTrained(const Trained& t, const float* values);

  std::vector<TransposedNode> nodes_;
  std::deque<Matrix> matrices_;
  std::vector<Trained> trained_;
  std::map<std::string, int> parameters_;
  PackedMemory memory_;
};

}  // namespace idlm
