// What the backward multiplies with: matrices transposed. The frozen ones of integer types are quantised again, to Q8S:
// their groups run along the other dimension. Trained ones stay float32 and are packed again after each step.
#pragma once
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "gradients/plan.h"
#include "program/weights.h"

namespace idlm {

struct TransposedNode {
  Matrix base;                // of all parts side by side: [inputs of the node, results of its parts]
  Matrix lowRank;             // A of all parts: [inputs, low-rank products]; no data: no part has LoRA
  std::vector<Matrix> inner;  // of each part: its B times the scale, [rank, results]
};

class TransposedWeights {
 public:
  // Packs those of the nodes that a gradient flows through, by the number of the node; all in float32 where the
  // backward is to be exact.
  TransposedWeights(const Plan& plan, const ProgramSource& source, const Weights& weights, bool isExact, Pool& pool);
  const TransposedNode& node(size_t i) const { return nodes_[i]; }
  // Packs the trained ones with new values.
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
