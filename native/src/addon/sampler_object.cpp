#include "addon/sampler_object.h"

#include "addon/guarded.h"
#include "addon/values.h"

namespace idlm {

namespace {

SamplerSettings readSettings(const Fields& o) {
  SamplerSettings s;
  s.repetitionPenalty = float(o.number("repetitionPenalty"));
  s.presencePenalty = float(o.number("presencePenalty"));
  s.frequencyPenalty = float(o.number("frequencyPenalty"));
  s.temperature = float(o.number("temperature"));
  s.topP = float(o.number("topP"));
  s.minP = float(o.number("minP"));
  s.topK = o.integer("topK");
  s.choice = o.integer("choice");
  s.logprobs = o.integer("logprobs");
  s.seed = uint64_t(o.safeInteger("seed"));
  s.biasTokens = o.integers("biasTokens");
  View<float> values = o.viewOf<float>("biasValues", s.biasTokens.size());
  s.biasValues.assign(values.data, values.data + values.size);
  return s;
}

}  // namespace

Napi::Function SamplerObject::define(Napi::Env env) {
  return DefineClass(
      env, "Sampler",
      {InstanceMethod("prompt", &SamplerObject::prompt), InstanceMethod("accept", &SamplerObject::accept)});
}

SamplerObject::SamplerObject(const Napi::CallbackInfo& info) : Wrapped(info) {
  guarded(info.Env(), [&] { state_ = std::make_shared<SamplerState>(readSettings(Fields(info[0], "settings"))); });
}

void SamplerObject::prompt(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    auto tokens = Arguments(info, "prompt").integers(0, "tokens");
    state_->prompt(tokens.data(), tokens.size());
  });
}

void SamplerObject::accept(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { state_->accept(Arguments(info, "accept").integer(0, "token")); });
}

}  // namespace idlm
