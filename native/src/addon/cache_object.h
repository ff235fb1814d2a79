// KvCache: the pages of one KV cache.
#pragma once
#include <memory>

#include "addon/wrapped.h"
#include "executor/run.h"

namespace idlm {

class CacheObject : public Wrapped<CacheObject> {
 public:
  static constexpr napi_type_tag TAG = {0x4e07c8b25d1f4a96, 0xb85e3d6a09f24c13};
  static Napi::Function define(Napi::Env env);
  static Napi::Object make(Napi::Env env, std::shared_ptr<KvCache> cache);
  explicit CacheObject(const Napi::CallbackInfo& info) : Wrapped(info) {}
  // The cache of a KvCache; throws std::invalid_argument if it is not one, or was disposed of.
  static std::shared_ptr<KvCache> cacheOf(const Napi::Value& value, const char* name);

 private:
  void dispose(const Napi::CallbackInfo&) { cache_.reset(); }
  Napi::Value nPages(const Napi::CallbackInfo& info);
  std::shared_ptr<KvCache> cache_;
};

}  // namespace idlm
