// Parses and validates the requests that src/compute/native/requests.ts packs.
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
  int row = 0;  // row of the forest
  std::shared_ptr<SamplerState> sampler;
  int64_t position = 0;
  std::vector<int32_t> unverified;
  AllowedTokens allowed;               // null: all are allowed
  std::shared_ptr<const Trial> trial;  // null: none

  DrawPlace place() const { return {position, unverified.data(), int(unverified.size()), allowed.get()}; }
};

// src/compute/sampling/proposal.ts
enum class ProposalKind { Mask = 0, Head = 1, Token = 2 };

// ProposalSource in src/compute/sampling/proposal.ts.
struct ProposalSource {
  ProposalKind kind = ProposalKind::Mask;
  int row = 0;       // row of the forest
  int previous = 0;  // Mask: the token before the predicted one
  int head = 0;      // Head: its index
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

// Proposals to make as part of the forward, where verification of a sequence's tree ends (src/compute/loaded-model.ts,
// Lookahead).
struct LookaheadInput {
  ProposalKind kind = ProposalKind::Mask;
  std::vector<int32_t> widths;  // most nodes of each level
  int count = 0;
  bool forRejection = false;
  int firstDraw = 0;  // of the last pending token; those of the tree's proposals follow
  struct Anchor {
    int parent, token;  // index of the parent anchor (-1: none), and its own token
    int row, length;    // MASK run: first row and number of rows; heads: row of the anchor and number of heads
  };
  std::vector<Anchor> anchors;
};

struct SamplingInput {
  std::vector<DrawInput> draws;
  std::vector<LookaheadInput> lookaheads;
};

// Throws std::invalid_argument unless the numbers are in the packer's format.
SamplingInput readSampling(const double* data, size_t n, const RequestObjects& objects);
std::vector<ProposalInput> readProposals(const double* data, size_t n, const RequestObjects& objects);

}  // namespace idlm
