#include "executor/lookahead.h"

#include <algorithm>
#include <stdexcept>

namespace idlm {

void Lookaheads::check(const std::vector<LookaheadInput>& inputs, const ForestLayout& layout, size_t nHeads) {
  auto fail = [](const char* what) { throw std::invalid_argument(what); };
  for (const LookaheadInput& ahead : inputs) {
    if (ahead.kind == ProposalKind::Token) fail("a lookahead by token rows");
    bool mask = ahead.kind == ProposalKind::Mask;
    for (const LookaheadInput::Anchor& anchor : ahead.anchors) {
      if (anchor.length == 0) continue;
      int64_t last = mask ? int64_t(anchor.row) + anchor.length - 1 : anchor.row;
      if (anchor.length < 0 || anchor.row < 0 || last >= layout.nRows()) fail("a lookahead's rows are not there");
      for (int64_t row = anchor.row; row <= last; row++) {
        int output = layout.outputOf(int(row));
        if (output < 0 || (output >= layout.nTokenOutputs()) != mask) fail("a lookahead's rows have no such output");
      }
      if (!mask && size_t(anchor.length) > nHeads) fail("a lookahead's heads are not there");
    }
  }
}

void Lookaheads::start(const SamplingInput& sampling, const std::vector<DrawResult>& drawn) {
  sampling_ = &sampling;
  level_ = 0;
  open_.clear();
  results_.resize(sampling.lookaheads.size());
  lengths_.assign(sampling.lookaheads.size(), 0);
  for (size_t i = 0; i < sampling.lookaheads.size(); i++) {
    const LookaheadInput& ahead = sampling.lookaheads[i];
    Result& result = results_[i];
    result.row = result.next = -1;
    result.nodes.clear();
    Open first{i, -1, 0, 1, {}};
    for (size_t at = 0;;) {
      const DrawResult& next = drawn[size_t(ahead.firstDraw) + at];
      if (next.status != 0) break;
      first.unverified.push_back(next.token);
      size_t child = at + 1;
      while (child < ahead.anchors.size() &&
             (ahead.anchors[child].parent != int(at) || ahead.anchors[child].token != next.token))
        child++;
      if (child < ahead.anchors.size()) {
        at = child;
        continue;
      }
      const LookaheadInput::Anchor& anchor = ahead.anchors[at];
      lengths_[i] = std::min(anchor.length, int(ahead.widths.size()));
      if (lengths_[i] == 0) break;
      result.row = anchor.row, result.next = next.token;
      open_.push_back(std::move(first));
      break;
    }
  }
}

std::vector<ProposalInput> Lookaheads::nextLevel(std::vector<Proposed>& answers) {
  if (level_ > 0) {
    std::vector<Open> next;
    for (size_t first = 0; first < open_.size();) {
      size_t end = first;
      std::vector<Node>& nodes = results_[open_[first].lookahead].nodes;
      for (; end < open_.size() && open_[end].lookahead == open_[first].lookahead; end++)
        nodes.push_back({open_[end].parent, open_[end].rank, std::move(answers[end])});
      expand(first, next);
      first = end;
    }
    open_ = std::move(next);
  }
  std::vector<ProposalInput> requests(open_.size());
  for (size_t i = 0; i < open_.size(); i++) {
    const Open& open = open_[i];
    const LookaheadInput& ahead = sampling_->lookaheads[open.lookahead];
    const DrawInput& draw = sampling_->draws[size_t(ahead.firstDraw)];
    bool mask = ahead.kind == ProposalKind::Mask;
    ProposalInput& request = requests[i];
    int row = results_[open.lookahead].row + (mask ? int(level_) : 0);
    request.source = proposalSource(ahead.kind, row, mask ? open.unverified.back() : int(level_));
    request.sampler = draw.sampler;
    request.position = draw.position + int64_t(open.unverified.size());
    request.unverified = open.unverified;
    request.count = ahead.count, request.forRejection = ahead.forRejection;
  }
  level_++;
  return requests;
}

// Nodes of the next level for one lookahead, whose nodes start at `first` in open_.
void Lookaheads::expand(size_t first, std::vector<Open>& next) const {
  size_t lookahead = open_[first].lookahead;
  const LookaheadInput& ahead = sampling_->lookaheads[lookahead];
  if (int(level_) >= lengths_[lookahead]) return;
  const std::vector<Node>& nodes = results_[lookahead].nodes;
  size_t end = first;
  while (end < open_.size() && open_[end].lookahead == lookahead) end++;
  size_t firstNode = nodes.size() - (end - first);
  std::vector<Open> found;
  for (size_t i = first; i < end; i++) {
    const Proposed& proposed = nodes[firstNode + i - first].proposed;
    float weight = open_[i].weight;
    for (size_t rank = 0; rank < proposed.tokens.size(); rank++) {
      // For rejection the tree must not depend on the confidence of draws, only on their rank.
      weight *= ahead.forRejection ? 0.5f : 1;
      float childWeight = ahead.forRejection ? weight : weight * proposed.confidences[rank];
      Open open{lookahead, int(firstNode + i - first), int(rank), childWeight, open_[i].unverified};
      open.unverified.push_back(proposed.tokens[rank]);
      found.push_back(std::move(open));
    }
  }
  std::stable_sort(found.begin(), found.end(), [](const Open& a, const Open& b) { return a.weight > b.weight; });
  size_t maxNodes = size_t(std::max(0, ahead.widths[level_]));
  for (size_t i = 0; i < found.size() && i < maxNodes; i++) next.push_back(std::move(found[i]));
}

}  // namespace idlm
