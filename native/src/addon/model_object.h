// Model: a loaded program, its forwards, and the results of the last one.
#pragma once
#include <functional>
#include <memory>

#include "addon/values.h"
#include "addon/wrapped.h"
#include "executor/model.h"

namespace idlm {

class ModelObject : public Wrapped<ModelObject> {
 public:
  static constexpr napi_type_tag TAG = {0x71b6e94d2ac34f08, 0x8fd2a5c31e704b6a};
  static Napi::Function define(Napi::Env env);
  static Napi::Object make(Napi::Env env, std::shared_ptr<Model> model);
  explicit ModelObject(const Napi::CallbackInfo& info) : Wrapped(info) {}

  // The packed base weights, for another program over them.
  std::shared_ptr<const BaseWeights> shareBase() const;

 private:
  // The model; throws after `dispose`.
  Model& model() const;
  // Like `model`; throws while a forward runs, too.
  Model& ready() const;
  Napi::Value createCache(const Napi::CallbackInfo& info);
  Napi::Value forward(const Napi::CallbackInfo& info);
  Napi::Value eventLoopIsIdle(const Napi::CallbackInfo& info);
  // Runs `work` off the event loop, with exclusive use of the model. `holds`: objects to keep alive meanwhile.
  template <class Result>
  Napi::Value start(Napi::Env env, std::function<Result(Model&)> work,
                    std::function<Napi::Value(Napi::Env, const Model&, Result&)> finish, Holds holds = {});
  Napi::Value propose(const Napi::CallbackInfo& info);
  Napi::Value hidden(const Napi::CallbackInfo& info);
  Napi::Value logits(const Napi::CallbackInfo& info);
  Napi::Value draftLogits(const Napi::CallbackInfo& info);
  Napi::Value value(const Napi::CallbackInfo& info);
  Napi::Value replaceParameters(const Napi::CallbackInfo& info);
  void moveKv(const Napi::CallbackInfo& info);
  Napi::Value timings(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo&) {
    // Nobody tells a disposed model that the event loop is idle.
    if (model_) model_->setEventLoopBusy(false);
    model_.reset();
  }
  Napi::Value weightBytes(const Napi::CallbackInfo& info);
  Napi::Value sharedWeightBytes(const Napi::CallbackInfo& info);

  std::shared_ptr<Model> model_;
  bool running_ = false;
};

}  // namespace idlm
