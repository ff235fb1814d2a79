#include "addon/backend_object.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <stdexcept>

#include "addon/instance.h"
#include "addon/model_object.h"
#include "addon/program_source.h"
#include "addon/task.h"
#include "constants.h"
#include "executor/arena.h"
#include "kernels/dispatch.h"

namespace idlm {

Napi::Function BackendObject::define(Napi::Env env) {
  return DefineClass(
      env, "Backend",
      {InstanceMethod("load", &BackendObject::load), InstanceMethod("bandwidth", &BackendObject::bandwidth)});
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

// (program, model to share the base's weights with or undefined, whether every value is kept)
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
    // Mapped weights: they stay mapped while they are read, and their pages are given back as soon as they are packed.
    struct Mapped {
      std::shared_ptr<const FileMapping> file;
      const uint8_t* bytes;
      size_t size;
    };
    std::vector<Mapped> mapped;
    for (const ParameterSource& p : source->parameters) {
      if (!p.bytes) continue;
      if (auto file = Instance::of(info.Env()).files->find(p.bytes, p.size)) mapped.push_back({file, p.bytes, p.size});
    }
    return Task<std::shared_ptr<Model>>::start(
        info.Env(), std::move(holds),
        [source, options, mapped = std::move(mapped), pool = pool_, kernels = kernels_] {
          auto program = lowerProgram(*source, options, *pool);
          for (const Mapped& m : mapped) m.file->dropPages(m.bytes, m.size);
          return std::make_shared<Model>(std::move(program), pool, kernels);
        },
        [](Napi::Env env, std::shared_ptr<Model>& model) -> Napi::Value { return ModelObject::make(env, model); });
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

}  // namespace

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
