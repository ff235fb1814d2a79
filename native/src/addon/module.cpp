// The addon, typed in src/compute/native/binding.ts. Arguments were validated in TypeScript; Model validates again what
// memory safety depends on.
#include "addon/backend_object.h"
#include "addon/cache_object.h"
#include "addon/guarded.h"
#include "addon/instance.h"
#include "addon/model_object.h"
#include "addon/sampler_object.h"
#include "addon/trainer_object.h"
#include "constants.h"
#include "kernels/dispatch.h"
#include "program/pack.h"

namespace idlm {

namespace {

Napi::Object constants(Napi::Env env) {
  auto out = Napi::Object::New(env);
  out.Set("numerics", NUMERICS);
  out.Set("pageSize", PAGE);
  out.Set("maxRows", MAX_ROWS);
  out.Set("maxPosition", MAX_POSITION);
  out.Set("maxLogprobs", MAX_LOGPROBS);
  out.Set("maxThreads", MAX_THREADS);
  return out;
}

Napi::Array textArray(Napi::Env env, const std::vector<std::string>& texts) {
  auto out = Napi::Array::New(env);
  uint32_t i = 0;
  for (const std::string& text : texts) out.Set(i++, text);
  return out;
}

Napi::Value isas(const Napi::CallbackInfo& info) { return textArray(info.Env(), supportedIsas()); }

// Called once for each environment that loads the addon.
Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* instance = new Instance;
  env.SetInstanceData(instance);
  instance->model = Napi::Persistent(ModelObject::define(env));
  instance->cache = Napi::Persistent(CacheObject::define(env));
  instance->trainer = Napi::Persistent(TrainerObject::define(env));
  exports.Set("Backend", BackendObject::define(env));
  exports.Set("Sampler", SamplerObject::define(env));
  exports.Set("constants", constants(env));
  exports.Set("weightTypes", textArray(env, packedTypes()));
  exports.Set("isas", Napi::Function::New(env, isas));
  exports.Set("mapFile", Napi::Function::New(env, [](const Napi::CallbackInfo& info) {
                return guarded(info.Env(), [&] { return Instance::of(info.Env()).files->map(info); });
              }));
  exports.Set("unmapFile", Napi::Function::New(env, [](const Napi::CallbackInfo& info) {
                guarded(info.Env(), [&] { Instance::of(info.Env()).files->unmap(info); });
              }));
  return exports;
}

}  // namespace

NODE_API_MODULE(idlm_native, init)

}  // namespace idlm
