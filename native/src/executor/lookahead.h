// Proposals made as part of the forward, after the last token that verification accepts in each sequence
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
    int parent = -1, rank = 0;  // parent node and rank of the token there; -1: it follows the drawn token
    Proposed proposed;
  };
  struct Result {
    int row = -1;   // at the anchor where verification ended: first row of its run, or the anchor's row (heads)
    int next = -1;  // token drawn there
    std::vector<Node> nodes;
  };

  // Throws std::invalid_argument if rows or heads do not fit the layout.
  static void check(const std::vector<LookaheadInput>& inputs, const ForestLayout& layout, size_t nHeads);

  void clear() { results_.clear(); }
  // Finds where verification of each sequence ends.
  void start(const SamplingInput& sampling, const std::vector<DrawResult>& drawn);
  // Takes the answers to the previous level's requests and returns those of the next level; empty: done.
  std::vector<ProposalInput> nextLevel(std::vector<Proposed>& answers);

  const std::vector<Result>& results() const { return results_; }

 private:
  // A node whose proposals are requested.
  struct Open {
    size_t lookahead;
    int parent, rank;
    float weight;  // estimated probability that its proposals are needed
    std::vector<int32_t> unverified;
  };

  void expand(size_t first, std::vector<Open>& next) const;

  const SamplingInput* sampling_ = nullptr;
  std::vector<Result> results_;
  std::vector<int> lengths_;  // maximum depth of each lookahead
  std::vector<Open> open_;
  size_t level_ = 0;
};

}  // namespace idlm
