#include "sampling/sampler.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>

namespace idlm {

namespace {

int countOf(const int32_t* tokens, int n, int32_t token) {
  int count = 0;
  for (int i = 0; i < n; i++) count += tokens[i] == token;
  return count;
}

}  // namespace

float nthLargest(std::vector<float>& values, size_t count) {
  if (count > values.size()) return MINUS_INFINITY;
  auto nth = values.begin() + std::ptrdiff_t(count - 1);
  std::nth_element(values.begin(), nth, values.end(), std::greater<float>());
  return *nth;
}

int best(const float* scores, const int32_t* ids, size_t n) {
  int at = -1;
  for (size_t i = 0; i < n; i++) {
    if (!(scores[i] > MINUS_INFINITY)) continue;
    if (at < 0 || scores[i] > scores[size_t(at)] || (scores[i] == scores[size_t(at)] && ids && ids[i] < ids[at]))
      at = int(i);
  }
  return at;
}

void philox4(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
  uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]}, k[2] = {key[0], key[1]};
  for (int round = 0; round < 10; round++) {
    uint64_t p = uint64_t(0xD2511F53u) * c[0], q = uint64_t(0xCD9E8D57u) * c[2];
    uint32_t next[4] = {uint32_t(q >> 32) ^ c[1] ^ k[0], uint32_t(q), uint32_t(p >> 32) ^ c[3] ^ k[1], uint32_t(p)};
    memcpy(c, next, sizeof c);
    k[0] += 0x9E3779B9u, k[1] += 0xBB67AE85u;
  }
  memcpy(out, c, sizeof c);
}

NoiseKey noiseKey(uint64_t seed, int64_t position, int choice, Purpose purpose) {
  uint32_t counter[4] = {uint32_t(position), uint32_t(uint64_t(position) >> 32), uint32_t(choice), uint32_t(purpose)};
  uint32_t key[2] = {uint32_t(seed), uint32_t(seed >> 32)}, out[4];
  philox4(counter, key, out);
  return {out[0], out[1]};
}

void SamplerState::prompt(const int32_t* tokens, size_t n) {
  for (size_t i = 0; i < n; i++) counts_[tokens[i]].prompt = true;
}

float SamplerState::penalised(float logit, int32_t token, const Counts& counts, const DrawPlace& place) const {
  int nOutput = counts.output + countOf(place.unverified, place.nUnverified, token);
  return idlm::penalised(settings, logit, counts.prompt, nOutput);
}

void SamplerState::adjust(float* scores, int vocab, const DrawPlace& place) const {
  if (settings.penalises()) {
    for (const auto& [token, counts] : counts_)
      if (token >= 0 && token < vocab) scores[token] = penalised(scores[token], token, counts, place);
    for (int i = 0; i < place.nUnverified; i++) {
      int32_t token = place.unverified[i];
      if (token < 0 || token >= vocab || counts_.count(token) || countOf(place.unverified, i, token)) continue;
      scores[token] = penalised(scores[token], token, Counts{}, place);
    }
  }
  for (size_t i = 0; i < settings.biasTokens.size(); i++) {
    int32_t token = settings.biasTokens[i];
    if (token >= 0 && token < vocab) scores[token] = scores[token] + settings.biasValues[i];
  }
  if (place.allowed)
    for (int32_t token = 0; token < vocab; token++)
      if (!place.allows(token)) scores[token] = MINUS_INFINITY;
}

DrawResult SamplerState::draw(const KernelTable& k, const float* logits, int vocab, const DrawPlace& place,
                              const Trial* trial, SamplerScratch& s, int32_t* topTokens, float* topLogprobs) const {
  DrawResult result;
  size_t n = size_t(vocab);
  int32_t top = -1;
  if (!k.argmax(logits, vocab, nullptr, &top)) {
    result.status = 1;
    return result;
  }
  s.scores.assign(logits, logits + n);
  if (adjusts(place)) adjust(s.scores.data(), vocab, place);
  bool isFiltered = settings.filters();
  if (settings.temperature == 0) {
    // Only one token can be drawn, whatever is tried.
    result.token = best(s.scores.data(), nullptr, n);
  } else {
    k.divide(s.scores.data(), vocab, settings.temperature);
    if (isFiltered) chooseCandidates(settings, k, s, vocab);
    if (trial) {
      if (isFiltered) {
        std::sort(s.candidates.begin(), s.candidates.end(),
                  [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
        spread(s), n = s.candidates.size();
      }
      result.token = sampleWithProposals(k, *trial, isFiltered ? s.ids.data() : nullptr, int(n), place.position, s);
    } else {
      if (isFiltered) spread(s), n = s.candidates.size();
      NoiseKey key = keyOf(place.position, Purpose::Draw);
      const int32_t* ids = isFiltered ? s.ids.data() : nullptr;
      int chosen = k.noisyBest(s.scores.data(), ids, int(n), key.word, key.key);
      result.token = chosen >= 0 && ids ? ids[chosen] : chosen;
    }
  }
  if (result.token < 0) {
    result.status = 2;
    return result;
  }
  if (settings.logprobs >= 0) {
    // Log-probabilities of the model, before any setting.
    float largest = logits[top], shift = k.logarithm(k.exponentials(logits, vocab, largest, nullptr));
    result.logprob = (logits[result.token] - largest) - shift;
    int wanted = std::min({settings.logprobs, vocab, MAX_LOGPROBS}), have = 0;
    for (int32_t i = 0; i < vocab && wanted > 0; i++) {
      if (have == wanted && !(logits[i] > topLogprobs[have - 1])) continue;
      int at = have < wanted ? have++ : have - 1;
      for (; at > 0 && topLogprobs[at - 1] < logits[i]; at--)
        topLogprobs[at] = topLogprobs[at - 1], topTokens[at] = topTokens[at - 1];
      topLogprobs[at] = logits[i], topTokens[at] = i;
    }
    for (int i = 0; i < have; i++) topLogprobs[i] = (topLogprobs[i] - largest) - shift;
    result.nTop = have;
  }
  return result;
}

void SamplerState::spread(SamplerScratch& s) {
  size_t n = s.candidates.size();
  s.ids.resize(n), s.scores.resize(n);
  for (size_t i = 0; i < n; i++) s.ids[i] = s.candidates[i].id, s.scores[i] = s.candidates[i].score;
}

}  // namespace idlm
