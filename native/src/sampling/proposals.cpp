// Drawing proposals from a proposer's scores, and trying them in a draw. Sums are in double and in a fixed order,
// exponentials are the kernels', so that the bits do not depend on the instruction set. src/compute/sampling/trial.ts
// is the reference.
#include <algorithm>
#include <cmath>
#include <limits>

#include "sampling/sampler.h"

namespace idlm {

namespace {

// Smallest weight relative to the largest: smaller ones are far below what 32 bits of noise can draw, and are left out
// so that no probability is 0. Far above where float32 loses bits.
constexpr float MIN_WEIGHT = 1e-30f;

// Makes scores relative to the largest, so that later additions are not rounded away. If some are infinite, only these
// remain.
bool relative(float* scores, size_t n) {
  float largest = MINUS_INFINITY;
  for (size_t i = 0; i < n; i++) largest = scores[i] > largest ? scores[i] : largest;
  if (!(largest > MINUS_INFINITY)) return false;
  for (size_t i = 0; i < n; i++) scores[i] = scores[i] == largest ? 0.0f : scores[i] - largest;
  return true;
}

// Eight chains, so that the additions overlap.
double sumOf(const std::vector<float>& weights) {
  double sums[8] = {};
  size_t n = weights.size(), i = 0;
  for (; i + 8 <= n; i += 8)
    for (size_t j = 0; j < 8; j++) sums[j] += double(weights[i + j]);
  for (size_t j = 0; i < n; i++, j++) sums[j] += double(weights[i]);
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

// Uniform in (0, 1): Philox2x32-10, like the kernels' noise.
double uniform(int32_t token, NoiseKey noise) {
  uint32_t a = uint32_t(token), b = noise.word, key = noise.key;
  for (int round = 0; round < 10; round++) {
    uint64_t product = uint64_t(0xD256D193u) * a;
    a = uint32_t(product >> 32) ^ key ^ b, b = uint32_t(product);
    key += 0x9E3779B9u;
  }
  return (double(a) + 0.5) * 0x1p-32;
}

}  // namespace

// Recursive rejection sampling without replacement (RSD, Jeon et al., arXiv 2402.14160, section 3). p is stored twice:
// as weights, and as scores, which the noise of the final draw is added to. A rejection changes only tokens that the
// proposer could have drawn.
int32_t SamplerState::sampleWithProposals(const KernelTable& k, const Trial& trial, const int32_t* ids, int n,
                                          int64_t position, SamplerScratch& s) const {
  if (!relative(s.scores.data(), size_t(n))) return -1;
  s.changed.clear();
  if (!trial.tokens.empty()) {
    s.weights.resize(size_t(n));
    k.exponentials(s.scores.data(), n, 0, s.weights.data());
  }
  auto indexOf = [&](int32_t token) {
    if (!ids) return token >= 0 && token < n ? token : -1;
    const int32_t* at = std::lower_bound(ids, ids + n, token);
    return at < ids + n && *at == token ? int(at - ids) : -1;
  };
  auto change = [&](int at, double weight) {
    float rounded = float(weight);
    size_t i = size_t(at);
    s.changed.push_back({i, s.scores[i]});
    s.weights[i] = rounded;
    s.scores[i] = rounded >= std::numeric_limits<float>::min() ? k.logarithm(rounded) : MINUS_INFINITY;
  };
  NoiseKey acceptance = keyOf(position, Purpose::Acceptance);
  for (size_t i = 0; i < trial.tokens.size(); i++) {
    double total = sumOf(s.weights);
    if (!(total > 0)) break;
    int32_t token = trial.tokens[i];
    int own = indexOf(token);
    double p = own < 0 ? 0 : double(s.weights[size_t(own)]);
    const Trial::Distribution* from = trial.from[i].get();
    auto isTried = [&](int32_t id) {
      return std::find(trial.tokens.begin(), trial.tokens.begin() + std::ptrdiff_t(i), id) !=
             trial.tokens.begin() + std::ptrdiff_t(i);
    };
    double rest = 0, q = 0;
    for (size_t j = 0; from && j < from->tokens.size(); j++) {
      if (isTried(from->tokens[j])) continue;
      rest += double(from->probabilities[j]);
      if (from->tokens[j] == token) q = double(from->probabilities[j]);
    }
    q = from ? q / rest : 1;
    if (uniform(token, acceptance) * trial.tau * q * total < p) return token;
    for (size_t j = 0; from && j < from->tokens.size(); j++) {
      int at = indexOf(from->tokens[j]);
      if (at < 0 || from->tokens[j] == token || isTried(from->tokens[j])) continue;
      double left = double(s.weights[size_t(at)]) - total * (double(from->probabilities[j]) / rest);
      change(at, left > 0 ? left : 0);
    }
    // The rejected token's ratio was below 1.
    if (own >= 0) change(own, 0);
  }
  NoiseKey residual = keyOf(position, Purpose::Residual);
  auto likeliest = [&] { return k.noisyBest(s.scores.data(), ids, n, residual.word, residual.key); };
  int chosen = likeliest();
  if (chosen < 0) {
    // Nothing is left if p = q up to rounding, and the token was rejected by the last bit: a draw from p is as good.
    for (size_t i = s.changed.size(); i-- > 0;) s.scores[s.changed[i].first] = s.changed[i].second;
    chosen = likeliest();
  }
  return chosen < 0 ? -1 : ids ? ids[size_t(chosen)] : chosen;
}

void SamplerState::propose(const KernelTable& k, const float* logits, const int32_t* ids, int n, const DrawPlace& place,
                           int count, bool forRejection, Purpose purpose, Proposed& out, SamplerScratch& s) const {
  std::vector<Candidate>& c = s.candidates;
  c.clear();
  bool isGreedy = settings.temperature == 0;
  for (int i = 0; i < n; i++) {
    int32_t token = ids[i];
    float score = logits[i];
    if (!place.allows(token)) continue;
    if (settings.penalises()) {
      auto found = counts_.find(token);
      score = penalised(score, token, found == counts_.end() ? Counts{} : found->second, place);
    }
    for (size_t b = 0; b < settings.biasTokens.size(); b++)
      if (settings.biasTokens[b] == token) score = score + settings.biasValues[b];
    if (!isGreedy) score = score / settings.temperature;
    if (score > MINUS_INFINITY) c.push_back({score, 0, token});  // no NaN
  }
  out.isDrawn = forRejection && !isGreedy;
  if (!isGreedy) filterCandidates(settings, k, s);
  auto weigh = [&] {
    s.scores.resize(c.size()), s.weights.resize(c.size());
    for (size_t i = 0; i < c.size(); i++) s.scores[i] = c[i].score;
    relative(s.scores.data(), c.size());
    k.exponentials(s.scores.data(), int(c.size()), 0, s.weights.data());
    for (size_t i = 0; i < c.size(); i++) c[i].score = s.scores[i], c[i].weight = s.weights[i];
  };
  auto addNoise = [&](Purpose use) {
    NoiseKey key = keyOf(place.position, use);
    spread(s), s.weights.resize(c.size());
    k.addGumbel(s.scores.data(), s.ids.data(), int(c.size()), key.word, key.key, s.weights.data());
    for (size_t i = 0; i < c.size(); i++) c[i].score = s.weights[i];
  };
  if (out.isDrawn) {
    weigh();
    c.erase(std::remove_if(c.begin(), c.end(), [](const Candidate& x) { return !(x.weight >= MIN_WEIGHT); }), c.end());
    addNoise(purpose);
  } else {
    if (!isGreedy) addNoise(Purpose::Draw);
    weigh();
  }
  double total = 0;
  for (const Candidate& x : c) total += double(x.weight);
  out.fromTokens.clear(), out.fromProbabilities.clear();
  for (size_t i = 0; out.isDrawn && i < c.size(); i++) {
    out.fromTokens.push_back(c[i].id);
    out.fromProbabilities.push_back(float(double(c[i].weight) / total));
  }
  size_t kept = std::min(size_t(count), c.size());
  std::partial_sort(c.begin(), c.begin() + std::ptrdiff_t(kept), c.end(), before);
  out.tokens.resize(kept), out.confidences.resize(kept);
  for (size_t i = 0; i < kept; i++) out.tokens[i] = c[i].id, out.confidences[i] = float(double(c[i].weight) / total);
}

}  // namespace idlm
