// The numeric settings of sampling, and what they do to scores (src/compute/sampling/settings.ts has their order).
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/table.h"

namespace idlm {

constexpr float MINUS_INFINITY = -std::numeric_limits<float>::infinity();

// Numeric settings (type, name, neutral value): samplingSettings of src/compute/sampling/settings.ts.
#define IDLM_SAMPLING_SETTINGS(X) \
  X(float, repetitionPenalty, 1)  \
  X(float, presencePenalty, 0)    \
  X(float, frequencyPenalty, 0)   \
  X(float, temperature, 0)        \
  X(int, topK, 0)                 \
  X(float, topP, 1)               \
  X(float, minP, 0)

struct SamplerSettings {
#define IDLM_SETTING(type, name, neutral) type name = neutral;
  IDLM_SAMPLING_SETTINGS(IDLM_SETTING)
#undef IDLM_SETTING
  int choice = 0, logprobs = -1;
  uint64_t seed = 0;
  std::vector<int32_t> biasTokens;
  std::vector<float> biasValues;

  bool penalises() const { return repetitionPenalty != 1 || presencePenalty != 0 || frequencyPenalty != 0; }
  // Whether they exclude unlikely tokens.
  bool filters() const { return topK > 0 || usesWeights(); }
  // Whether they do so by probability.
  bool usesWeights() const { return topP < 1 || minP > 0; }
};

struct Candidate {
  float score, weight;
  int32_t id;
};

// The order of all comparisons; no two candidates are equal.
inline bool before(const Candidate& a, const Candidate& b) {
  return a.score != b.score ? a.score > b.score : a.id < b.id;
}

// The `count`-th largest, from 1; minus infinity if there are fewer. Reorders the values, which must not be NaN.
float nthLargest(std::vector<float>& values, size_t count);

struct SamplerScratch {
  std::vector<Candidate> candidates;
  std::vector<float> scores, weights;
  std::vector<int32_t> ids, found;
  std::vector<std::pair<size_t, float>> changed;  // original values of scores that a trial changed
};

// A logit after the penalties of a token that occurs in the prompt, or `nOutput` times in the output.
inline float penalised(const SamplerSettings& settings, float logit, bool isInPrompt, int nOutput) {
  if (isInPrompt || nOutput > 0)
    logit = logit > 0 ? logit / settings.repetitionPenalty : logit * settings.repetitionPenalty;
  if (nOutput > 0) logit = logit - settings.presencePenalty - settings.frequencyPenalty * float(nOutput);
  return logit;
}

// Keeps the first candidates, at least one, whose weights sum to `goal`, in order. False: the sum of all is below it.
inline bool keepFirst(std::vector<Candidate>& c, double goal) {
  auto at = [&](size_t i) { return c.begin() + std::ptrdiff_t(i); };
  // Sorts in growing steps: usually a few tokens suffice.
  double reached = 0;
  size_t kept = 0;
  for (size_t upto = 0, step = 128; upto < c.size() && (kept == 0 || reached < goal); step *= 4) {
    size_t from = upto;
    upto = std::min(c.size(), from + step);
    if (upto < c.size()) std::nth_element(at(from), at(upto), c.end(), before);
    std::sort(at(from), at(upto), before);
    for (kept = from; kept < upto && (kept == 0 || reached < goal); kept++) reached += double(c[kept].weight);
  }
  c.resize(kept);
  return kept > 0 && !(reached < goal);
}

// Drops candidates by their weights relative to the largest one, which is 1.
inline void dropUnlikely(const SamplerSettings& settings, std::vector<Candidate>& c) {
  if (settings.minP > 0)
    c.erase(std::remove_if(c.begin(), c.end(), [&](const Candidate& x) { return !(x.weight >= settings.minP); }),
            c.end());
}

// Applies top-k, top-p and min-p to s.candidates (divided by the temperature, ids ascending).
inline void filterCandidates(const SamplerSettings& settings, const KernelTable& k, SamplerScratch& s) {
  std::vector<Candidate>& c = s.candidates;
  if (settings.topK > 0 && size_t(settings.topK) < c.size()) {
    std::nth_element(c.begin(), c.begin() + (settings.topK - 1), c.end(), before);
    c.resize(size_t(settings.topK));
    std::sort(c.begin(), c.end(), [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  }
  if (!settings.usesWeights()) return;
  // Weights in the order of ids, so that their sum does not depend on how much is sorted.
  s.scores.resize(c.size()), s.weights.resize(c.size());
  float largest = MINUS_INFINITY;
  for (size_t i = 0; i < c.size(); i++) s.scores[i] = c[i].score, largest = std::max(largest, c[i].score);
  float sum = k.exponentials(s.scores.data(), int(c.size()), largest, s.weights.data());
  for (size_t i = 0; i < c.size(); i++) c[i].weight = s.weights[i];
  if (settings.topP < 1) keepFirst(c, double(settings.topP) * double(sum));
  dropUnlikely(settings, c);
}

// s.candidates: those that the settings leave of s.scores [n], the whole vocabulary divided by the temperature.
inline void chooseCandidates(const SamplerSettings& settings, const KernelTable& k, SamplerScratch& s, int n) {
  s.found.resize(size_t(n));
  const int32_t* ids = nullptr;
  auto take = [&](const float* x, float least) {
    int count = k.indicesFrom(x, n, least, s.found.data());
    s.candidates.clear();
    for (int i = 0; i < count; i++) {
      int32_t at = s.found[size_t(i)];
      float score = s.scores[size_t(at)];
      if (score > MINUS_INFINITY)
        s.candidates.push_back({score, s.weights.empty() ? 0 : s.weights[size_t(at)], ids ? ids[at] : at});
    }
  };
  s.weights.clear();
  if (settings.topK > 0 && settings.topK < n) {
    // At least k tokens reach the k-th largest of the blocks' maxima.
    size_t blocks = size_t((n + BLOCK - 1) / BLOCK), wanted = size_t(settings.topK);
    float least = MINUS_INFINITY;
    if (wanted <= blocks) {
      s.weights.resize(blocks);
      k.blockMaxima(s.scores.data(), n, s.weights.data());
      least = nthLargest(s.weights, wanted);
      s.weights.clear();
    }
    take(s.scores.data(), least);
    return filterCandidates(settings, k, s);
  }
  if (!settings.usesWeights()) return take(s.scores.data(), MINUS_INFINITY);
  // Candidates only, at consecutive places, since the bits of the sum depend on the places of its terms.
  int32_t top = 0;
  float largest = MINUS_INFINITY;
  if (k.argmax(s.scores.data(), n, nullptr, &top)) {
    largest = s.scores[size_t(top)];
  } else {
    s.ids.resize(size_t(n));
    n = k.indicesFrom(s.scores.data(), n, -std::numeric_limits<float>::max(), s.ids.data());
    for (size_t i = 0; i < size_t(n); i++)
      s.scores[i] = s.scores[size_t(s.ids[i])], largest = std::max(largest, s.scores[i]);
    ids = s.ids.data();
  }
  s.weights.resize(size_t(n));
  float sum = k.exponentials(s.scores.data(), n, largest, s.weights.data());
  if (settings.topP < 1) {
    // The omitted tokens have less weight than top-p leaves out, up to rounding; if not, all are used.
    double goal = double(settings.topP) * double(sum);
    take(s.scores.data(), largest + k.logarithm((1 - settings.topP) * sum / float(n)));
    if (!keepFirst(s.candidates, goal)) {
      take(s.scores.data(), MINUS_INFINITY);
      keepFirst(s.candidates, goal);
    }
  } else {
    take(s.weights.data(), settings.minP);
  }
  dropUnlikely(settings, s.candidates);
}

}  // namespace idlm
