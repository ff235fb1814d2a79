#include "addon/trainer_object.h"

#include <stdexcept>

#include "addon/instance.h"
#include "addon/task.h"

namespace idlm {

namespace {

GatedBatchInput readBatch(const Fields& batch) {
  GatedBatchInput input;
  input.nMasks = batch.integer("nMasks");
  input.kl = float(batch.number("kl")), input.tv = float(batch.number("tv"));
  input.logOverlap = float(batch.number("logOverlap"));
  batch.copy<float>("depthWeights", input.depthWeights);
  input.firstMiss = batch.flag("firstMiss"), input.wantsGradients = batch.flag("wantsGradients");
  Elements sequences = batch.elements("sequences");
  for (uint32_t i = 0; i < sequences.size(); i++) {
    Fields sequence = sequences.at(i);
    GatedSequenceInput own;
    own.key = sequence.safeInteger("key");
    sequence.copy<int32_t>("tokens", own.tokens);
    sequence.copy<int32_t>("anchors", own.anchors);
    input.sequences.push_back(std::move(own));
  }
  return input;
}

// The memory of a typed array that is written off the event loop.
float* writable(const View<float>& view) { return const_cast<float*>(view.data); }

FullBatchInput readFullBatch(const Fields& batch) {
  FullBatchInput input;
  input.isAuto = batch.flag("isAuto"), input.alpha = float(batch.number("alpha"));
  input.wantsGradients = batch.flag("wantsGradients");
  Elements sequences = batch.elements("sequences");
  for (uint32_t i = 0; i < sequences.size(); i++) {
    Fields sequence = sequences.at(i);
    FullSequenceInput own;
    sequence.copy<int32_t>("tokens", own.tokens);
    sequence.copy<int32_t>("positions", own.positions);
    sequence.copy<int32_t>("parents", own.parents);
    sequence.copy<int32_t>("targetRows", own.targetRows);
    sequence.copy<int32_t>("targets", own.targets);
    own.nClean = sequence.integer("nClean"), own.nNoisy = sequence.integer("nNoisy");
    input.sequences.push_back(std::move(own));
  }
  return input;
}

}  // namespace

Napi::Function TrainerObject::define(Napi::Env env) {
  return DefineClass(
      env, "Trainer",
      {InstanceMethod("gatedStep", &TrainerObject::gatedStep), InstanceMethod("fullStep", &TrainerObject::fullStep),
       InstanceMethod("replaceParameters", &TrainerObject::replaceParameters),
       InstanceMethod("update", &TrainerObject::update), InstanceMethod("dispose", &TrainerObject::dispose),
       InstanceAccessor("trainable", &TrainerObject::trainable, nullptr)});
}

Napi::Object TrainerObject::make(Napi::Env env, std::shared_ptr<ParameterTrainer> trainer) {
  Napi::Object object = Instance::of(env).trainer.New({});
  Unwrap(object)->trainer_ = std::move(trainer);
  return object;
}

ParameterTrainer& TrainerObject::ready() const {
  if (!trainer_) throw std::logic_error("the model was disposed");
  if (running_) throw std::logic_error("a step of this model is running; wait for it");
  return *trainer_;
}

template <class Result>
Napi::Value TrainerObject::start(Napi::Env env, std::function<Result()> work,
                                 std::function<Napi::Value(Napi::Env, Result&)> finish, Holds holds) {
  holds.push_back(Napi::Persistent(Value()));
  Napi::Promise promise =
      Task<Result>::start(env, std::move(holds), std::move(work), std::move(finish), [this] { running_ = false; });
  running_ = true;
  return promise;
}

template <class Trainer>
std::shared_ptr<Trainer> TrainerObject::readyAs() const {
  ready();
  auto trainer = std::dynamic_pointer_cast<Trainer>(trainer_);
  if (!trainer) throw std::logic_error("the model was prepared for another kind of training");
  return trainer;
}

// The memory of the gradients of each trainable parameter.
std::vector<float*> TrainerObject::gradientMemory(const Napi::Value& value, Holds& holds) const {
  const ParameterTrainer& trainer = ready();
  Elements views(value, "gradients");
  std::vector<float*> gradients;
  if (views.size() != trainer.trainable().size()) throw std::invalid_argument("gradients of other parameters");
  for (uint32_t i = 0; i < views.size(); i++) {
    auto view = toView<float>(views.get(i));
    const ParameterSource& p = trainer.parameter(trainer.trainable()[i]);
    if (!view || view->size != size_t(p.rows) * size_t(p.cols))
      throw std::invalid_argument("the gradient of " + p.id + " has another size");
    holds.push_back(Napi::Persistent(views.get(i).As<Napi::Object>()));
    gradients.push_back(writable(*view));
  }
  return gradients;
}

// Ids of the trainable parameters, in the order of the gradients.
Napi::Value TrainerObject::trainable(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const ParameterTrainer& trainer = ready();
    auto out = Napi::Array::New(info.Env());
    for (int parameter : trainer.trainable()) out.Set(out.Length(), trainer.parameter(parameter).id);
    return out;
  });
}

// (batch, memory for the gradients of each trainable parameter)
Napi::Value TrainerObject::gatedStep(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto trainer = readyAs<GatedTrainer>();
    auto batch = std::make_shared<GatedBatchInput>(readBatch(Fields(info[0], "batch")));
    Holds holds;
    std::vector<float*> gradients = gradientMemory(info[1], holds);
    return start<GatedStepResult>(
        info.Env(), [trainer, batch, gradients = std::move(gradients)] { return trainer->step(*batch, gradients); },
        [](Napi::Env env, GatedStepResult& result) -> Napi::Value {
          auto out = Napi::Object::New(env);
          out.Set("loss", result.loss);
          out.Set("gradientNorm", result.gradientNorm);
          out.Set("notFinite", result.notFinite);
          out.Set("rowLosses", toArray(env, result.rowLosses.data(), result.rowLosses.size()));
          out.Set("overlap", toArray(env, result.overlap.data(), result.overlap.size()));
          out.Set("targetRank", toArray(env, result.targetRank.data(), result.targetRank.size()));
          out.Set("textRank", toArray(env, result.textRank.data(), result.textRank.size()));
          return out;
        },
        std::move(holds));
  });
}

// (batch, memory for the gradients of each trainable parameter)
Napi::Value TrainerObject::fullStep(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto trainer = readyAs<FullTrainer>();
    auto batch = std::make_shared<FullBatchInput>(readFullBatch(Fields(info[0], "batch")));
    Holds holds;
    std::vector<float*> gradients = gradientMemory(info[1], holds);
    return start<FullStepResult>(
        info.Env(), [trainer, batch, gradients = std::move(gradients)] { return trainer->step(*batch, gradients); },
        [](Napi::Env env, FullStepResult& result) -> Napi::Value {
          auto out = Napi::Object::New(env);
          out.Set("loss", result.loss);
          out.Set("noisyLoss", result.noisyLoss);
          out.Set("cleanLoss", result.cleanLoss);
          out.Set("gradientNorm", result.gradientNorm);
          out.Set("notFinite", result.notFinite);
          out.Set("rowLosses", toArray(env, result.rowLosses.data(), result.rowLosses.size()));
          out.Set("ranks", toArray(env, result.ranks.data(), result.ranks.size()));
          return out;
        },
        std::move(holds));
  });
}

// (ids, values)
Napi::Value TrainerObject::replaceParameters(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    ready();
    Elements ids(info[0], "ids"), values(info[1], "values");
    if (ids.size() != values.size()) throw std::invalid_argument("ids and values differ in number");
    Holds holds;
    std::vector<Replacement> replacements;
    for (uint32_t i = 0; i < ids.size(); i++) {
      auto id = toText(ids.get(i));
      auto view = toView<float>(values.get(i));
      if (!id || !view) throw std::invalid_argument("expected a string for each id and a Float32Array for its values");
      holds.push_back(Napi::Persistent(values.get(i).As<Napi::Object>()));
      replacements.push_back({*id, view->data, view->size});
    }
    return start<bool>(
        info.Env(),
        [trainer = trainer_, replacements = std::move(replacements)] {
          trainer->replace(replacements);
          return true;
        },
        [](Napi::Env env, bool&) { return env.Undefined(); }, std::move(holds));
  });
}

// (tensors, settings): updates values and moments in place
Napi::Value TrainerObject::update(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    ready();
    Elements list(info[0], "tensors");
    Fields settings(info[1], "settings");
    Holds holds;
    std::vector<AdamWTensor> tensors;
    for (uint32_t i = 0; i < list.size(); i++) {
      Fields fields = list.at(i);
      AdamWTensor t;
      t.id = fields.text("id"), t.weightDecay = float(fields.number("weightDecay"));
      View<float> values = fields.view<float>("values", &holds);
      t.values = writable(values), t.length = values.size;
      t.gradient = fields.viewOf<float>("gradient", t.length, &holds).data;
      t.first = writable(fields.viewOf<float>("first", t.length, &holds));
      t.second = writable(fields.viewOf<float>("second", t.length, &holds));
      tensors.push_back(std::move(t));
    }
    AdamWArgs args;
    args.learningRate = float(settings.number("learningRate")), args.factor = float(settings.number("factor"));
    args.beta1 = float(settings.number("beta1")), args.beta2 = float(settings.number("beta2"));
    args.epsilon = float(settings.number("epsilon"));
    args.firstCorrection = float(settings.number("firstCorrection"));
    args.secondCorrection = float(settings.number("secondCorrection"));
    return start<bool>(
        info.Env(),
        [trainer = trainer_, tensors = std::move(tensors), args] {
          trainer->update(tensors, args);
          return true;
        },
        [](Napi::Env env, bool&) { return env.Undefined(); }, std::move(holds));
  });
}

}  // namespace idlm
