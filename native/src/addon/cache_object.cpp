#include "addon/cache_object.h"

#include <stdexcept>

#include "addon/instance.h"
#include "addon/values.h"

namespace idlm {

Napi::Function CacheObject::define(Napi::Env env) {
  return DefineClass(
      env, "KvCache",
      {InstanceMethod("dispose", &CacheObject::dispose), InstanceAccessor("nPages", &CacheObject::nPages, nullptr)});
}

Napi::Object CacheObject::make(Napi::Env env, std::shared_ptr<KvCache> cache) {
  Napi::Object object = Instance::of(env).cache.New({});
  Unwrap(object)->cache_ = std::move(cache);
  return object;
}

std::shared_ptr<KvCache> CacheObject::cacheOf(const Napi::Value& value, const char* name) {
  CacheObject* object = from(value);
  if (!object) throw std::invalid_argument(std::string(name) + ": expected a KvCache, found " + describe(value));
  if (!object->cache_) throw std::invalid_argument("the KV cache was disposed");
  return object->cache_;
}

Napi::Value CacheObject::nPages(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), cache_ ? cache_->nPages : 0);
}

}  // namespace idlm
