// Sampler: the settings of one request's draws, and the counts of its tokens.
#pragma once
#include <memory>

#include "addon/wrapped.h"
#include "sampling/sampler.h"

namespace idlm {

class SamplerObject : public Wrapped<SamplerObject> {
 public:
  static constexpr napi_type_tag TAG = {0x9d2f5a1c64e84b37, 0xa3c1f0e27b9d4e51};
  static Napi::Function define(Napi::Env env);
  explicit SamplerObject(const Napi::CallbackInfo& info);
  const std::shared_ptr<SamplerState>& state() const { return state_; }

 private:
  void prompt(const Napi::CallbackInfo& info);
  void accept(const Napi::CallbackInfo& info);
  std::shared_ptr<SamplerState> state_;
};

}  // namespace idlm
