#include "addon/backend_object.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <stdexcept>

#include "addon/instance.h"
#include "addon/model_object.h"
#include "addon/program_source.h"
#include "addon/task.h"
#include "addon/trainer_object.h"
#include "constants.h"
#include "executor/arena.h"
#include "kernels/dispatch.h"

namespace idlm {

Napi::Function BackendObject::define(Napi::Env env) {
  return DefineClass(
      env, "Backend",
      {InstanceMethod("load", &BackendObject::load), InstanceMethod("loadGated", &BackendObject::loadGated),
       InstanceMethod("loadFull", &BackendObject::loadFull), InstanceMethod("bandwidth", &BackendObject::bandwidth),
       InstanceMethod("arithmetic", &BackendObject::arithmetic)});
}

// (threads, isa)
BackendObject::BackendObject(const Napi::CallbackInfo& info) : Wrapped(info) {
  guarded(info.Env(), [&] {
    Arguments arguments(info, "Backend");
    int threads = arguments.integer(0, "threads", 1, MAX_THREADS);
    std::string isa = arguments.text(1, "isa");
    kernels_ = kernelTable(isa);
    if (!kernels_) throw std::invalid_argument("this CPU or build cannot run " + isa);
    pool_ = std::make_shared<Pool>(threads);
  });
}

namespace {

// Mapped weights: they stay mapped while they are read, and their pages are freed as soon as they are packed.
class MappedWeights {
 public:
  MappedWeights(Napi::Env env, const ProgramSource& source) {
    for (const ParameterSource& p : source.parameters) {
      if (!p.bytes) continue;
      if (auto file = Instance::of(env).files->find(p.bytes, p.size)) mapped_.push_back({file, p.bytes, p.size});
    }
  }
  void drop() const {
    for (const Mapped& m : mapped_) m.file->dropPages(m.bytes, m.size);
  }

 private:
  struct Mapped {
    std::shared_ptr<const FileMapping> file;
    const uint8_t* bytes;
    size_t size;
  };
  std::vector<Mapped> mapped_;
};

}  // namespace

// (program, model to share the base's weights with or undefined, whether to keep every value)
Napi::Value BackendObject::load(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Arguments arguments(info, "load");
    LoweringOptions options;
    if (arguments.has(1)) {
      ModelObject* other = ModelObject::from(info[1]);
      if (!other) arguments.fail(1, "shareWith", "a Model");
      options.shared = other->shareBase();
    }
    options.keepsValues = arguments.flag(2, "keepsValues");
    Holds holds;
    auto source = std::make_shared<ProgramSource>(readProgram(Fields(info[0], "program"), options.shared.get(), holds));
    return Task<std::shared_ptr<Model>>::start(
        info.Env(), std::move(holds),
        [source, options, mapped = MappedWeights(info.Env(), *source), pool = pool_, kernels = kernels_] {
          auto program = lowerProgram(*source, options, *pool);
          mapped.drop();
          return std::make_shared<Model>(std::move(program), pool, kernels);
        },
        [](Napi::Env env, std::shared_ptr<Model>& model) -> Napi::Value { return ModelObject::make(env, model); });
  });
}

// (program, bytes of clean rows to cache, whether the backward is exact)
Napi::Value BackendObject::loadGated(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Arguments arguments(info, "loadGated");
    double cacheBytes = arguments.number(1, "cacheBytes");
    constexpr double LARGEST = 1099511627776;  // 2^40
    if (!(cacheBytes >= 0 && cacheBytes <= LARGEST)) arguments.fail(1, "cacheBytes", "0 to 2^40");
    GatedTrainer::Options options;
    options.cacheBytes = size_t(cacheBytes), options.isExact = arguments.flag(2, "isExact");
    Holds holds;
    auto source = std::make_shared<ProgramSource>(readProgram(Fields(info[0], "program"), nullptr, holds));
    return Task<std::shared_ptr<GatedTrainer>>::start(
        info.Env(), std::move(holds),
        [source, options, mapped = MappedWeights(info.Env(), *source), pool = pool_, kernels = kernels_] {
          auto trainer = std::make_shared<GatedTrainer>(*source, pool, kernels, options);
          mapped.drop();
          return trainer;
        },
        [](Napi::Env env, std::shared_ptr<GatedTrainer>& trainer) -> Napi::Value {
          return TrainerObject::make(env, trainer);
        });
  });
}

// (program)
Napi::Value BackendObject::loadFull(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Holds holds;
    auto source = std::make_shared<ProgramSource>(readProgram(Fields(info[0], "program"), nullptr, holds));
    return Task<std::shared_ptr<FullTrainer>>::start(
        info.Env(), std::move(holds),
        [source, pool = pool_, kernels = kernels_] { return std::make_shared<FullTrainer>(*source, pool, kernels); },
        [](Napi::Env env, std::shared_ptr<FullTrainer>& trainer) -> Napi::Value {
          return TrainerObject::make(env, trainer);
        });
  });
}

namespace {

// GB/s of reading `bytes` of memory with all threads, the best of `rounds`.
double readBandwidth(Pool& pool, const KernelTable& kernels, size_t bytes, int rounds) {
  Arena memory(bytes);
  memset(memory.data(), 1, bytes);
  double best = 0;
  std::vector<float> sink(size_t(pool.threads()) * 16);
  for (int r = 0; r < rounds; r++) {
    auto begin = std::chrono::steady_clock::now();
    auto work = [&](int t) {
      size_t n = bytes / 4 / 64 * 64, from = n * size_t(t) / size_t(pool.threads()) / 64 * 64,
             to = n * size_t(t + 1) / size_t(pool.threads()) / 64 * 64;
      kernels.readAll(reinterpret_cast<const float*>(memory.data()) + from, to - from, &sink[size_t(t) * 16]);
    };
    pool.run(work);
    double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    best = std::max(best, double(bytes) / seconds / 1e9);
  }
  return best;
}

// 8-bit products per second of all threads, the best of `rounds`.
double measureProducts(Pool& pool, const KernelTable& kernels, int rounds) {
  constexpr size_t STEPS = 1 << 20;  // some milliseconds
  double best = 0;
  std::vector<int32_t> sink(size_t(pool.threads()) * 16);
  std::vector<size_t> counts(size_t(pool.threads()));
  for (int r = 0; r < rounds; r++) {
    auto begin = std::chrono::steady_clock::now();
    auto work = [&](int t) { counts[size_t(t)] = STEPS * kernels.multiplyAll(STEPS, &sink[size_t(t) * 16]); };
    pool.run(work);
    double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    size_t all = 0;
    for (size_t count : counts) all += count;
    best = std::max(best, double(all) / seconds);
  }
  return best;
}

}  // namespace

// (rounds)
Napi::Value BackendObject::arithmetic(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Arguments arguments(info, "arithmetic");
    int rounds = arguments.integer(0, "rounds");
    return Task<double>::start(
        info.Env(), {}, [=, pool = pool_, kernels = kernels_] { return measureProducts(*pool, *kernels, rounds); },
        [](Napi::Env env, double& perSecond) -> Napi::Value { return Napi::Number::New(env, perSecond); });
  });
}

// (bytes, rounds)
Napi::Value BackendObject::bandwidth(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Arguments arguments(info, "bandwidth");
    double bytes = arguments.number(0, "bytes");
    constexpr double LARGEST = 1099511627776;  // 2^40
    if (!(bytes >= 1 && bytes <= LARGEST)) arguments.fail(0, "bytes", "1 to 2^40");
    int rounds = arguments.integer(1, "rounds");
    return Task<double>::start(
        info.Env(), {},
        [=, pool = pool_, kernels = kernels_] { return readBandwidth(*pool, *kernels, size_t(bytes), rounds); },
        [](Napi::Env env, double& gbPerSecond) -> Napi::Value { return Napi::Number::New(env, gbPerSecond); });
  });
}

}  // namespace idlm
