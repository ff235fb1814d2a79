#include "addon/requests.h"

#include <stdexcept>

#include "addon/sampler_object.h"

namespace idlm {

namespace {

std::shared_ptr<const Trial::Distribution> readDistribution(const Fields& o) {
  auto distribution = std::make_shared<Trial::Distribution>();
  distribution->tokens = o.integers("tokens");
  View<float> probabilities = o.viewOf<float>("probabilities", distribution->tokens.size());
  distribution->probabilities.assign(probabilities.data, probabilities.data + probabilities.size);
  return distribution;
}

std::shared_ptr<const Trial> readTrial(const Fields& o) {
  auto trial = std::make_shared<Trial>();
  trial->tokens = o.integers("tokens");
  trial->tau = o.number("tau");
  Elements from = o.elements("from");
  if (from.size() != trial->tokens.size()) o.failLength("from", trial->tokens.size(), from.size());
  Napi::Value last;
  for (uint32_t i = 0; i < from.size(); i++) {
    Napi::Value value = from.get(i);
    // Siblings of one proposer share their distribution.
    if (i > 0 && value.StrictEquals(last)) {
      trial->from.push_back(trial->from.back());
      continue;
    }
    last = value;
    bool isCertain = value.IsUndefined() || value.IsNull();
    trial->from.push_back(isCertain ? nullptr : readDistribution(Fields(value, "trial.from")));
  }
  return trial;
}

Napi::Value logprobsOf(Napi::Env env, const Model& m, size_t draw) {
  const DrawResult& drawn = m.drawn[draw];
  size_t n = size_t(drawn.nTop), at = draw * size_t(MAX_LOGPROBS);
  auto out = Napi::Object::New(env);
  out.Set("logprob", drawn.logprob);
  out.Set("topTokens", toArray(env, m.topTokens.data() + at, n));
  out.Set("topLogprobs", toArray(env, m.topLogprobs.data() + at, n));
  return out;
}

PackedProposals packLookaheads(const std::vector<Lookaheads::Result>& lookaheads) {
  PackedProposals packed;
  for (const Lookaheads::Result& ahead : lookaheads) {
    packed.numbers.insert(packed.numbers.end(), {int32_t(ahead.nodes.size()), ahead.row, ahead.next});
    for (const Lookaheads::Node& node : ahead.nodes) {
      packed.numbers.insert(packed.numbers.end(), {node.parent, node.rank});
      packed.add(node.proposed);
    }
  }
  return packed;
}

}  // namespace

RequestObjects readObjects(const Arguments& arguments, size_t first, bool hasTrials) {
  RequestObjects out;
  Elements samplers(arguments.get(first), "samplers");
  for (uint32_t i = 0; i < samplers.size(); i++) {
    SamplerObject* sampler = SamplerObject::from(samplers.get(i));
    if (!sampler) arguments.fail(first, "samplers", "an array of Samplers");
    out.samplers.push_back(sampler->state());
  }
  if (arguments.has(first + 1)) {
    Elements masks(arguments.get(first + 1), "allowed");
    for (uint32_t i = 0; i < masks.size(); i++) {
      auto mask = toView<uint32_t>(masks.get(i));
      if (!mask) arguments.fail(first + 1, "allowed", "an array of Uint32Arrays");
      out.allowed.push_back(std::make_shared<const std::vector<uint32_t>>(mask->data, mask->data + mask->size));
    }
  }
  if (hasTrials && arguments.has(first + 2)) {
    Elements trials(arguments.get(first + 2), "trials");
    for (uint32_t i = 0; i < trials.size(); i++) out.trials.push_back(readTrial(trials.at(i)));
  }
  return out;
}

void PackedProposals::add(const Proposed& p) {
  numbers.push_back(int32_t(p.tokens.size()));
  numbers.push_back(p.isDrawn ? int32_t(p.fromTokens.size()) : -1);
  numbers.insert(numbers.end(), p.tokens.begin(), p.tokens.end());
  shares.insert(shares.end(), p.confidences.begin(), p.confidences.end());
  if (!p.isDrawn) return;
  numbers.insert(numbers.end(), p.fromTokens.begin(), p.fromTokens.end());
  shares.insert(shares.end(), p.fromProbabilities.begin(), p.fromProbabilities.end());
}

Napi::Value proposalsOf(Napi::Env env, const PackedProposals& packed) {
  auto out = Napi::Object::New(env);
  out.Set("numbers", toArray(env, packed.numbers.data(), packed.numbers.size()));
  out.Set("shares", toArray(env, packed.shares.data(), packed.shares.size()));
  return out;
}

Napi::Value resultsOf(Napi::Env env, const Model& m) {
  auto out = Napi::Object::New(env);
  std::vector<int32_t> drawn;
  auto logprobs = Napi::Array::New(env, m.drawn.size());
  bool hasLogprobs = false;
  for (size_t i = 0; i < m.drawn.size(); i++) {
    drawn.insert(drawn.end(), {m.drawn[i].token, m.drawn[i].status});
    if (!m.hasLogprobs(i)) continue;
    hasLogprobs = true;
    logprobs.Set(uint32_t(i), logprobsOf(env, m, i));
  }
  out.Set("drawn", toArray(env, drawn.data(), drawn.size()));
  if (hasLogprobs) out.Set("logprobs", logprobs);
  if (!m.lookaheads().empty()) out.Set("lookaheads", proposalsOf(env, packLookaheads(m.lookaheads())));
  return out;
}

}  // namespace idlm
