// What JavaScript asks to be sampled (src/compute/native/requests.ts packs it), parsed and checked.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "sampling/sampler.h"

namespace idlm {

using AllowedTokens = std::shared_ptr<const std::vector<uint32_t>>;

// Objects that packed requests refer to by index.
struct RequestObjects {
  std::vector<std::shared_ptr<SamplerState>> samplers;
  std::vector<AllowedTokens> allowed;
  std::vector<std::shared_ptr<const Trial>> trials;
};

struct DrawInput {
  int row = 0;  // of the forest
  std::shared_ptr<SamplerState> sampler;
  int64_t position = 0;
  std::vector<int32_t> unverified;
  AllowedTokens allowed;               // null: all
  std::shared_ptr<const Trial> trial;  // null: none

  DrawPlace place() const { return {position, unverified.data(), int(unverified.size()), allowed.get()}; }
};

// src/compute/sampling/proposal.ts
enum class ProposalKind { Mask = 0, Head = 1, Token = 2 };

// ProposalSource in src/compute/sampling/proposal.ts: what proposes.
struct ProposalSource {
  ProposalKind kind = ProposalKind::Mask;
  int row = 0;       // of the forest
  int previous = 0;  // Mask: the token before the predicted one
  int head = 0;      // Head: which one
};

// `argument`: the previous token or the head, as sourceNumbers in requests.ts.
inline ProposalSource proposalSource(ProposalKind kind, int row, int argument) {
  return {kind, row, kind == ProposalKind::Mask ? argument : 0, kind == ProposalKind::Head ? argument : 0};
}

struct ProposalInput {
  ProposalSource source;
  std::shared_ptr<SamplerState> sampler;
  int64_t position = 0;
  std::vector<int32_t> unverified;
  AllowedTokens allowed;
  int count = 0;
  bool forRejection = false;

  DrawPlace place() const { return {position, unverified.data(), int(unverified.size()), allowed.get()}; }
};

// Proposals to make in the call of the forward itself, where the draws of one sequence's tree end
// (src/compute/loaded-model.ts, Lookahead).
struct LookaheadInput {
  ProposalKind kind = ProposalKind::Mask;
  std::vector<int32_t> widths;  // nodes of each level
  int count = 0;
  bool forRejection = false;
  int firstDraw = 0;  // of the last verified token; the tree's others follow
  struct Anchor {
    int parent, token;  // index into the anchors (-1: the first one has none), and its own token
    int row, length;    // of its MASK run: first row and rows; of heads: its own row and their number
  };
  std::vector<Anchor> anchors;
};

struct SamplingInput {
  std::vector<DrawInput> draws;
  std::vector<LookaheadInput> lookaheads;
};

// Throws std::invalid_argument where the numbers are not what the packer writes.
SamplingInput readSampling(const double* data, size_t n, const RequestObjects& objects);
std::vector<ProposalInput> readProposals(const double* data, size_t n, const RequestObjects& objects);

}  // namespace idlm
