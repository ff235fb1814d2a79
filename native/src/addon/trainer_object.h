// Trainer: a program prepared for training, of its adapter or of all weights.
#pragma once
#include <functional>
#include <memory>

#include "addon/values.h"
#include "addon/wrapped.h"
#include "gradients/full_trainer.h"
#include "gradients/gated_trainer.h"

namespace idlm {

class TrainerObject : public Wrapped<TrainerObject> {
 public:
  static constexpr napi_type_tag TAG = {0x5fd0c7a1e83b4926, 0xb61f90d47c2e8a53};
  static Napi::Function define(Napi::Env env);
  static Napi::Object make(Napi::Env env, std::shared_ptr<ParameterTrainer> trainer);
  explicit TrainerObject(const Napi::CallbackInfo& info) : Wrapped(info) {}

 private:
  // The trainer; throws while a step runs.
  ParameterTrainer& ready() const;
  template <class Trainer>
  std::shared_ptr<Trainer> readyAs() const;
  std::vector<float*> gradientMemory(const Napi::Value& value, Holds& holds) const;
  template <class Result>
  Napi::Value start(Napi::Env env, std::function<Result()> work, std::function<Napi::Value(Napi::Env, Result&)> finish,
                    Holds holds);
  Napi::Value gatedStep(const Napi::CallbackInfo& info);
  Napi::Value fullStep(const Napi::CallbackInfo& info);
  Napi::Value replaceParameters(const Napi::CallbackInfo& info);
  Napi::Value update(const Napi::CallbackInfo& info);
  Napi::Value trainable(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo&) { trainer_.reset(); }

  std::shared_ptr<ParameterTrainer> trainer_;
  bool running_ = false;
};

}  // namespace idlm
