// Sampler: settings and token counts of one request.
#pragma once
#include <memory>
#include <vector>

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
  // Throws while another thread reads it.
  SamplerState& writable() const;
  void prompt(const Napi::CallbackInfo& info);
  void accept(const Napi::CallbackInfo& info);
  std::shared_ptr<SamplerState> state_;
};

// Marks samplers as read by other threads during its lifetime. Created and destroyed on the JavaScript thread.
class SamplerReader {
 public:
  explicit SamplerReader(const std::vector<std::shared_ptr<SamplerState>>& samplers) : samplers_(samplers) {
    for (auto& sampler : samplers_) sampler->nReaders++;
  }
  SamplerReader(const SamplerReader&) = delete;
  SamplerReader& operator=(const SamplerReader&) = delete;
  ~SamplerReader() {
    for (auto& sampler : samplers_) sampler->nReaders--;
  }

 private:
  std::vector<std::shared_ptr<SamplerState>> samplers_;
};

}  // namespace idlm
