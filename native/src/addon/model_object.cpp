#include "addon/model_object.h"

#include <stdexcept>

#include "addon/cache_object.h"
#include "addon/instance.h"
#include "addon/requests.h"
#include "addon/sampler_object.h"
#include "addon/task.h"

namespace idlm {

namespace {

template <class Fill>
Napi::Value floats(Napi::Env env, int n, Fill fill) {
  auto out = Napi::Float32Array::New(env, size_t(n));
  fill(out.Data());
  return out;
}

}  // namespace

Napi::Function ModelObject::define(Napi::Env env) {
  return DefineClass(
      env, "Model",
      {InstanceMethod("createCache", &ModelObject::createCache), InstanceMethod("forward", &ModelObject::forward),
       InstanceMethod("hidden", &ModelObject::hidden), InstanceMethod("logits", &ModelObject::logits),
       InstanceMethod("draftLogits", &ModelObject::draftLogits), InstanceMethod("propose", &ModelObject::propose),
       InstanceMethod("value", &ModelObject::value), InstanceMethod("eventLoopIsIdle", &ModelObject::eventLoopIsIdle),
       InstanceMethod("replaceParameters", &ModelObject::replaceParameters),
       InstanceMethod("moveKv", &ModelObject::moveKv), InstanceMethod("timings", &ModelObject::timings),
       InstanceMethod("dispose", &ModelObject::dispose),
       InstanceAccessor("weightBytes", &ModelObject::weightBytes, nullptr),
       InstanceAccessor("sharedWeightBytes", &ModelObject::sharedWeightBytes, nullptr)});
}

Napi::Object ModelObject::make(Napi::Env env, std::shared_ptr<Model> model) {
  Napi::Object object = Instance::of(env).model.New({});
  Unwrap(object)->model_ = std::move(model);
  return object;
}

Model& ModelObject::model() const {
  if (!model_) throw std::logic_error("the model was disposed");
  return *model_;
}

Model& ModelObject::ready() const {
  Model& model = this->model();
  if (running_) throw std::logic_error("a forward of this model is running; wait for it");
  return model;
}

Napi::Value ModelObject::createCache(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    // A forward reads nothing of it, so it need not have ended.
    const Executor& executor = model().executor();
    return CacheObject::make(info.Env(), executor.createCache(Arguments(info, "createCache").integer(0, "nPages")));
  });
}

template <class Result>
Napi::Value ModelObject::start(Napi::Env env, std::function<Result(Model&)> work,
                               std::function<Napi::Value(Napi::Env, const Model&, Result&)> finish, Holds holds) {
  holds.push_back(Napi::Persistent(Value()));
  // Keeps the model alive if it is disposed of meanwhile.
  std::shared_ptr<Model> model = model_;
  Napi::Promise promise = Task<Result>::start(
      env, std::move(holds), [model, work = std::move(work)] { return work(*model); },
      [model, finish = std::move(finish)](Napi::Env env, Result& result) { return finish(env, *model, result); },
      [this] { running_ = false; });
  running_ = true;
  return promise;
}

// (layout, cache, requests, samplers, token masks, trials)
Napi::Value ModelObject::forward(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    ready();
    Arguments arguments(info, "forward");
    View<int32_t> layout = arguments.view<int32_t>(0, "layout");
    auto cache = CacheObject::cacheOf(info[1], "forward: cache");
    View<double> requests = arguments.view<double>(2, "requests");
    struct Input {
      std::vector<int32_t> layout;
      SamplingInput sampling;
    };
    auto input = std::make_shared<Input>();
    input->layout.assign(layout.data, layout.data + layout.size);
    RequestObjects objects = readObjects(arguments, 3, true);
    input->sampling = readSampling(requests.data, requests.size, objects);
    auto reader = std::make_shared<SamplerReader>(objects.samplers);
    model_->setEventLoopBusy(true);
    return start<bool>(
        info.Env(),
        [cache, input, reader](Model& model) {
          model.prepare(std::move(input->layout), std::move(input->sampling), *cache);
          model.forward(*cache);
          return true;
        },
        [](Napi::Env env, const Model& model, bool&) { return resultsOf(env, model); });
  });
}

Napi::Value ModelObject::eventLoopIsIdle(const Napi::CallbackInfo& info) {
  if (model_) model_->setEventLoopBusy(false);
  return info.Env().Undefined();
}

// (requests, samplers, token masks)
Napi::Value ModelObject::propose(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    ready();
    Arguments arguments(info, "propose");
    View<double> numbers = arguments.view<double>(0, "requests");
    RequestObjects objects = readObjects(arguments, 1, false);
    auto requests = std::make_shared<std::vector<ProposalInput>>(readProposals(numbers.data, numbers.size, objects));
    auto reader = std::make_shared<SamplerReader>(objects.samplers);
    return start<PackedProposals>(
        info.Env(),
        [requests, reader](Model& model) {
          std::vector<Proposed> found;
          model.propose(std::move(*requests), found);
          PackedProposals packed;
          for (const Proposed& one : found) packed.add(one);
          return packed;
        },
        [](Napi::Env env, const Model&, PackedProposals& packed) { return proposalsOf(env, packed); });
  });
}

Napi::Value ModelObject::hidden(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    Model& m = ready();
    int row = Arguments(info, "hidden").integer(0, "row");
    return floats(info.Env(), m.program().hidden, [&](float* out) { m.executor().hidden(row, out); });
  });
}

Napi::Value ModelObject::logits(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    Executor& executor = ready().executor();
    int row = Arguments(info, "logits").integer(0, "row");
    return floats(info.Env(), executor.logitsLength(row), [&](float* out) { executor.logits(row, out); });
  });
}

// (kind, row, previous token or head)
Napi::Value ModelObject::draftLogits(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    Model& m = ready();
    Arguments arguments(info, "draftLogits");
    auto kind = ProposalKind(arguments.integer(0, "kind", 0, int(ProposalKind::Token)));
    int row = arguments.integer(1, "row"), argument = arguments.integer(2, "previous token or head");
    ProposalSource source = proposalSource(kind, row, argument);
    return floats(info.Env(), m.draftLength(kind), [&](float* out) { m.draftLogits(source, out); });
  });
}

// (id of a kept value, row)
Napi::Value ModelObject::value(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    Executor& executor = ready().executor();
    Arguments arguments(info, "value");
    std::string id = arguments.text(0, "id");
    int row = arguments.integer(1, "row");
    return floats(info.Env(), executor.valueWidth(id), [&](float* out) { executor.value(id, row, out); });
  });
}

// (ids, values), which are read until the promise settles
Napi::Value ModelObject::replaceParameters(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    ready();
    Arguments arguments(info, "replaceParameters");
    Elements ids(arguments.get(0), "ids"), values(arguments.get(1), "values");
    std::vector<Replacement> replacements;
    Holds holds;
    for (uint32_t i = 0; i < ids.size(); i++) {
      auto id = toText(ids.get(i));
      if (!id) arguments.fail(0, "ids", "an array of strings");
      auto view = toView<float>(values.get(i));
      if (!view) arguments.fail(1, "values", "a Float32Array for each id");
      holds.push_back(Napi::Persistent(values.get(i).As<Napi::Object>()));
      replacements.push_back({*id, view->data, view->size});
    }
    return start<bool>(
        info.Env(),
        [replacements = std::move(replacements)](Model& model) {
          model.replaceParameters(replacements);
          return true;
        },
        [](Napi::Env env, const Model&, bool&) { return env.Undefined(); }, std::move(holds));
  });
}

// (cache, pages, from, to)
void ModelObject::moveKv(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    Arguments arguments(info, "moveKv");
    auto cache = CacheObject::cacheOf(info[0], "moveKv: cache");
    ready().executor().moveKv(*cache, arguments.integers(1, "pages"), arguments.integers(2, "from"),
                              arguments.integers(3, "to"));
  });
}

Napi::Value ModelObject::timings(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Model& m = ready();
    m.profile = true;
    auto out = Napi::Object::New(info.Env());
    for (auto& [name, ms] : m.timings) out.Set(name, ms);
    return out;
  });
}

Napi::Value ModelObject::weightBytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), model_ ? double(model_->program().weights.bytes()) : 0.0);
}

Napi::Value ModelObject::sharedWeightBytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), model_ ? double(model_->program().weights.sharedBytes()) : 0.0);
}

std::shared_ptr<const BaseWeights> ModelObject::shareBase() const {
  if (!model_) throw std::logic_error("the model whose weights are to be shared was disposed");
  return model_->program().weights.shareBase();
}

}  // namespace idlm
