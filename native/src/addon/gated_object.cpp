#include "addon/gated_object.h"

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

}  // namespace

Napi::Function GatedObject::define(Napi::Env env) {
  return DefineClass(
      env, "GatedTrainer",
      {InstanceMethod("step", &GatedObject::step), InstanceMethod("replaceParameters", &GatedObject::replaceParameters),
       InstanceMethod("update", &GatedObject::update), InstanceMethod("dispose", &GatedObject::dispose),
       InstanceAccessor("trainable", &GatedObject::trainable, nullptr)});
}

Napi::Object GatedObject::make(Napi::Env env, std::shared_ptr<GatedTrainer> trainer) {
  Napi::Object object = Instance::of(env).gated.New({});
  Unwrap(object)->trainer_ = std::move(trainer);
  return object;
}

GatedTrainer& GatedObject::ready() const {
  if (!trainer_) throw std::logic_error("the model was disposed");
  if (running_) throw std::logic_error("a step of this model is running; wait for it");
  return *trainer_;
}

template <class Result>
Napi::Value GatedObject::start(Napi::Env env, std::function<Result(GatedTrainer&)> work,
                               std::function<Napi::Value(Napi::Env, Result&)> finish, Holds holds) {
  holds.push_back(Napi::Persistent(Value()));
  std::shared_ptr<GatedTrainer> trainer = trainer_;
  Napi::Promise promise = Task<Result>::start(
      env, std::move(holds), [trainer, work = std::move(work)] { return work(*trainer); }, std::move(finish),
      [this] { running_ = false; });
  running_ = true;
  return promise;
}

// Ids of the trainable parameters, in the order of the gradients.
Napi::Value GatedObject::trainable(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const GatedTrainer& trainer = ready();
    auto out = Napi::Array::New(info.Env());
    for (int parameter : trainer.trainable()) out.Set(out.Length(), trainer.parameter(parameter).id);
    return out;
  });
}

// (batch, memory for the gradients of each trainable parameter)
Napi::Value GatedObject::step(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const GatedTrainer& trainer = ready();
    auto batch = std::make_shared<GatedBatchInput>(readBatch(Fields(info[0], "batch")));
    Elements views(info[1], "gradients");
    Holds holds;
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
    return start<GatedStepResult>(
        info.Env(),
        [batch, gradients = std::move(gradients)](GatedTrainer& trainer) { return trainer.step(*batch, gradients); },
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

// (ids, values)
Napi::Value GatedObject::replaceParameters(const Napi::CallbackInfo& info) {
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
        [replacements = std::move(replacements)](GatedTrainer& trainer) {
          trainer.replace(replacements);
          return true;
        },
        [](Napi::Env env, bool&) { return env.Undefined(); }, std::move(holds));
  });
}

// (tensors, settings): updates values and moments in place
Napi::Value GatedObject::update(const Napi::CallbackInfo& info) {
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
        [tensors = std::move(tensors), args](GatedTrainer& trainer) {
          trainer.update(tensors, args);
          return true;
        },
        [](Napi::Env env, bool&) { return env.Undefined(); }, std::move(holds));
  });
}

}  // namespace idlm
