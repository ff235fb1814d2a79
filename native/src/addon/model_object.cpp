#include "addon/model_object.h"

#include <stdexcept>

#include "addon/cache_object.h"
#include "addon/instance.h"
#include "addon/requests.h"
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
       InstanceMethod("moveKv", &ModelObject::moveKv), InstanceMethod("timings", &ModelObject::timings),
       InstanceMethod("dispose", &ModelObject::dispose),
       InstanceAccessor("weightBytes", &ModelObject::weightBytes, nullptr)});
}

Napi::Object ModelObject::make(Napi::Env env, std::shared_ptr<Model> model) {
  Napi::Object object = Instance::of(env).model.New({});
  Unwrap(object)->model_ = std::move(model);
  return object;
}

Model& ModelObject::ready() const {
  if (!model_) throw std::logic_error("the model was disposed");
  if (running_) throw std::logic_error("a forward of this model is running; wait for it");
  return *model_;
}

Napi::Value ModelObject::createCache(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return CacheObject::make(info.Env(), ready().createCache(Arguments(info, "createCache").integer(0, "nPages")));
  });
}

template <class Result>
Napi::Value ModelObject::start(Napi::Env env, std::function<Result(Model&)> work,
                               std::function<Napi::Value(Napi::Env, const Model&, Result&)> finish) {
  Holds holds;
  holds.push_back(Napi::Persistent(Value()));
  // The model that runs, whatever is disposed meanwhile.
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
    input->sampling = readSampling(requests.data, requests.size, readObjects(arguments, 3, true));
    return start<bool>(
        info.Env(),
        [cache, input](Model& model) {
          model.prepare(std::move(input->layout), std::move(input->sampling), *cache);
          model.forward(*cache);
          return true;
        },
        [](Napi::Env env, const Model& model, bool&) { return resultsOf(env, model); });
  });
}

// (requests, samplers, token masks)
Napi::Value ModelObject::propose(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    ready();
    Arguments arguments(info, "propose");
    View<double> numbers = arguments.view<double>(0, "requests");
    auto requests = std::make_shared<std::vector<ProposalInput>>(
        readProposals(numbers.data, numbers.size, readObjects(arguments, 1, false)));
    return start<PackedProposals>(
        info.Env(),
        [requests](Model& model) {
          std::vector<Proposed> found;
          model.heads().propose(model.pool(), model.outputRows(), std::move(*requests), found);
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
    return floats(info.Env(), m.hiddenSize(), [&](float* out) { m.hidden(row, out); });
  });
}

Napi::Value ModelObject::logits(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    Model& m = ready();
    int row = Arguments(info, "logits").integer(0, "row");
    return floats(info.Env(), m.logitsLength(row), [&](float* out) { m.logits(row, out); });
  });
}

// (kind, row, previous token or head)
Napi::Value ModelObject::draftLogits(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    Model& m = ready();
    Arguments arguments(info, "draftLogits");
    auto kind = ProposalKind(arguments.integer(0, "kind", 0, int(ProposalKind::Token)));
    int row = arguments.integer(1, "row"), of = arguments.integer(2, "previous token or head");
    return floats(info.Env(), m.heads().draftLength(kind),
                  [&](float* out) { m.heads().draftLogits(m.outputRows(), kind, row, of, out); });
  });
}

// (cache, pages, from, to)
void ModelObject::moveKv(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    Arguments arguments(info, "moveKv");
    auto cache = CacheObject::cacheOf(info[0], "moveKv: cache");
    ready().moveKv(*cache, arguments.integers(1, "pages"), arguments.integers(2, "from"), arguments.integers(3, "to"));
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
  return Napi::Number::New(info.Env(), model_ ? double(model_->weightBytes()) : 0.0);
}

}  // namespace idlm
