// Proposals made in the call of the forward, behind the token that verification of each sequence's tree accepts last
// (src/compute/loaded-model.ts, Lookahead): a small tree, level by level for all sequences together.
#pragma once
#include <vector>

#include "executor/heads.h"
#include "executor/layout.h"
#include "sampling/requests.h"

namespace idlm {

class Lookaheads {
 public:
  struct Node {
    int parent = -1, rank = 0;  // which token of which node it follows; -1: it follows the drawn token
    Proposed proposed;
  };
  struct Result {
    int row = -1;   // of the anchor that verification ended at: the first row of its run, or its own (heads)
    int next = -1;  // the token drawn there
    std::vector<Node> nodes;
  };

  // Throws std::invalid_argument where rows or heads are not those of the layout.
  static void check(const std::vector<LookaheadInput>& inputs, const ForestLayout& layout, size_t nHeads);

  void clear() { results_.clear(); }
  // Finds where the draws of each sequence end.
  void start(const SamplingInput& sampling, const std::vector<DrawResult>& drawn);
  // Takes the answers to the requests of the level before, and returns those of the next one; none: it is done.
  std::vector<ProposalInput> nextLevel(std::vector<Proposed>& answers);

  const std::vector<Result>& results() const { return results_; }

 private:
  // A node whose proposals are requested.
  struct Open {
    size_t lookahead;
    int parent, rank;
    float weight;  // how likely it is that its proposals are needed
    std::vector<int32_t> unverified;
  };

  void expand(size_t first, std::vector<Open>& next) const;

  const SamplingInput* sampling_ = nullptr;
  std::vector<Result> results_;
  std::vector<int> lengths_;  // levels that there can be, of each lookahead
  std::vector<Open> open_;
  size_t level_ = 0;
};

}  // namespace idlm
