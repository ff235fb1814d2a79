// Reproducible sampling of tokens from logits (src/compute/sampling/settings.ts describes the settings and their
// order). A draw depends on the logits, the request's tokens, and noise with the key (seed, purpose, position, choice,
// token).
#pragma once
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sampling/settings.h"

namespace idlm {

// Purpose of noise: each has its own, as has each kind of proposer (MASK rows, draft models, extra heads).
enum class Purpose : uint32_t { Draw = 0, Acceptance = 1, Residual = 2, Proposal = 3, Draft = 4, ExtraHead = 5 };

// Key of the noise of a position: Philox4x32-10 of (position, choice, purpose) with the seed as key.
struct NoiseKey {
  uint32_t key, word;
};
NoiseKey noiseKey(uint64_t seed, int64_t position, int choice, Purpose purpose);
// Exposed for tests with known answers.
void philox4(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

// Proposals that a draw tries (src/compute/sampling/draw.ts, Trial).
struct Trial {
  struct Distribution {
    std::vector<int32_t> tokens;
    std::vector<float> probabilities;
  };
  std::vector<int32_t> tokens;
  std::vector<std::shared_ptr<const Distribution>> from;  // null: probability 1; siblings share theirs
  double tau = 1;
};

// Tokens proposed for one position (src/compute/sampling/proposal.ts, Proposed).
struct Proposed {
  std::vector<int32_t> tokens;
  std::vector<float> confidences;
  bool isDrawn = false;  // drawn from the distribution below
  std::vector<int32_t> fromTokens;
  std::vector<float> fromProbabilities;
};

// Position and context of a draw, beside logits and settings.
struct DrawPlace {
  int64_t position = 0;
  const int32_t* unverified = nullptr;  // tokens that count as output before they are accepted
  int nUnverified = 0;
  const std::vector<uint32_t>* allowed = nullptr;  // a bit per token, 1: allowed; null: all are allowed

  bool allows(int32_t token) const {
    return !allowed || (size_t(token) / 32 < allowed->size() && ((*allowed)[size_t(token) / 32] >> (token % 32) & 1));
  }
};

struct DrawResult {
  int32_t token = -1;
  int status = 0;  // 0: drawn, 1: a logit is not finite, 2: no token is allowed
  float logprob = 0;
  int nTop = 0;
};

class SamplerState {
 public:
  explicit SamplerState(SamplerSettings settings) : settings(std::move(settings)) {}
  const SamplerSettings settings;
  // Number of running calls that read it on other threads; changed on the JavaScript thread only, like the sampler.
  int nReaders = 0;
  void prompt(const int32_t* tokens, size_t n);
  void accept(int32_t token) { counts_[token].output++; }
  // Whether the draw is the token with the largest logit, and nothing else is requested.
  bool isArgmax(const DrawPlace& place) const {
    return settings.temperature == 0 && settings.logprobs < 0 && !adjusts(place);
  }

  // Draws from logits [vocab]; with a trial, tries its tokens first. Thread-safe with one scratch per thread.
  DrawResult draw(const KernelTable& k, const float* logits, int vocab, const DrawPlace& place, const Trial* trial,
                  SamplerScratch& scratch, int32_t* topTokens, float* topLogprobs) const;

  // At most `count` of some candidates. For exact verification the best ones by the settings and noise of the verifying
  // draw, best first; for rejection drawn without replacement with the noise of `purpose` (at temperature 0 the best
  // one, with probability 1).
  void propose(const KernelTable& k, const float* logits, const int32_t* ids, int n, const DrawPlace& place, int count,
               bool forRejection, Purpose purpose, Proposed& out, SamplerScratch& scratch) const;

 private:
  struct Counts {
    bool prompt = false;
    int output = 0;
  };
  bool adjusts(const DrawPlace& place) const {
    return settings.penalises() || !settings.biasTokens.empty() || place.allowed;
  }
  float penalised(float logit, int32_t token, const Counts& counts, const DrawPlace& place) const;
  // Applies penalties, bias and allowed tokens to scores [vocab].
  void adjust(float* scores, int vocab, const DrawPlace& place) const;
  // Sets scratch.ids and scratch.scores to those of the candidates.
  static void spread(SamplerScratch& scratch);
  // Draws one of scratch.scores [n] (of tokens ids[i], ascending; null: i), trying proposals first; -1: none can be
  // drawn.
  int32_t sampleWithProposals(const KernelTable& k, const Trial& trial, const int32_t* ids, int n, int64_t position,
                              SamplerScratch& scratch) const;
  NoiseKey keyOf(int64_t position, Purpose purpose) const {
    return noiseKey(settings.seed, position, settings.choice, purpose);
  }
  std::unordered_map<int32_t, Counts> counts_;
};

// Index of the best score, the lowest id (null: index) among equals; -1 if all are minus infinity.
int best(const float* scores, const int32_t* ids, size_t n);

}  // namespace idlm
