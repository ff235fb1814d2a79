// Backend: compute threads and an instruction set; loads programs.
#pragma once
#include <memory>

#include "addon/wrapped.h"
#include "executor/pool.h"
#include "kernels/table.h"

namespace idlm {

class BackendObject : public Wrapped<BackendObject> {
 public:
  static constexpr napi_type_tag TAG = {0x25c8fa6b90de4173, 0x9b07e46d8c5a43f2};
  static Napi::Function define(Napi::Env env);
  explicit BackendObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value load(const Napi::CallbackInfo& info);
  Napi::Value loadGated(const Napi::CallbackInfo& info);
  Napi::Value loadFull(const Napi::CallbackInfo& info);
  Napi::Value bandwidth(const Napi::CallbackInfo& info);
  Napi::Value arithmetic(const Napi::CallbackInfo& info);
  std::shared_ptr<Pool> pool_;
  const KernelTable* kernels_ = nullptr;
};

}  // namespace idlm
