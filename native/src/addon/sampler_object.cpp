#include "addon/sampler_object.h"

#include <set>

#include <stdexcept>

#include "addon/guarded.h"
#include "addon/values.h"

namespace idlm {

namespace {

void read(const Fields& o, const char* name, float& value) { value = float(o.number(name)); }
void read(const Fields& o, const char* name, int& value) { value = o.integer(name); }

// Rejects settings that exist in JavaScript only, which would be ignored.
void refuseUnknown(const Fields& o) {
  static const std::set<std::string> known = {
#define IDLM_SETTING(type, name, neutral) #name,
      IDLM_SAMPLING_SETTINGS(IDLM_SETTING)
#undef IDLM_SETTING
          "choice",
      "logprobs", "seed", "biasTokens", "biasValues"};
  for (const std::string& key : o.keys())
    if (known.count(key) == 0) o.fail(key.c_str(), "a setting of native/src/sampling/sampler.h", o.get(key.c_str()));
}

SamplerSettings readSettings(const Fields& o) {
  refuseUnknown(o);
  SamplerSettings s;
#define IDLM_SETTING(type, name, neutral) read(o, #name, s.name);
  IDLM_SAMPLING_SETTINGS(IDLM_SETTING)
#undef IDLM_SETTING
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

SamplerState& SamplerObject::writable() const {
  if (state_->nReaders > 0) throw std::logic_error("a forward reads this sampler; wait for it");
  return *state_;
}

void SamplerObject::prompt(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    auto tokens = Arguments(info, "prompt").integers(0, "tokens");
    writable().prompt(tokens.data(), tokens.size());
  });
}

void SamplerObject::accept(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { writable().accept(Arguments(info, "accept").integer(0, "token")); });
}

}  // namespace idlm
