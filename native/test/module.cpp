// What only tests call: kernels, samplers and the pool by themselves, typed in test/support/native-test-binding.ts. An
// addon of its own, so that the product's has none of it.
#include <napi.h>

#include <atomic>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "addon/guarded.h"
#include "addon/sampler_object.h"
#include "addon/values.h"
#include "executor/pool.h"
#include "kernels/dispatch.h"
#include "program/pack.h"

namespace idlm {

namespace {

const KernelTable& kernelsOf(const Arguments& arguments) {
  const KernelTable* kernels = kernelTable(arguments.text(0, "isa"));
  if (!kernels) throw std::invalid_argument("this CPU or build cannot run it");
  return *kernels;
}

// math(isa, which, x): an elementary function.
Napi::Value math(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "math");
  View<float> x = arguments.view<float>(2, "x");
  auto out = Napi::Float32Array::New(info.Env(), x.size);
  kernelsOf(arguments).mathTest(x.data, out.Data(), int(x.size), arguments.integer(1, "which"));
  return out;
}

// noisy(isa, scores, ids, word, key, least): all scores with noise, the best of them, those from `least` on.
Napi::Value noisy(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Arguments arguments(info, "noisy");
  const KernelTable& k = kernelsOf(arguments);
  View<float> x = arguments.view<float>(1, "scores");
  int n = int(x.size);
  std::vector<int32_t> ids, indices(x.size + 1);
  if (arguments.has(2)) ids = arguments.integers(2, "ids");
  uint32_t word = uint32_t(arguments.number(3, "word")), key = uint32_t(arguments.number(4, "key"));
  float least = float(arguments.number(5, "least"));
  auto all = Napi::Float32Array::New(env, x.size);
  std::vector<float> noisyScores(x.size + 1);
  const int32_t* own = ids.empty() ? nullptr : ids.data();
  k.addGumbel(x.data, own, n, word, key, all.Data());
  int count = k.noisyFrom(x.data, own, n, word, key, least, indices.data(), noisyScores.data());
  auto from = Napi::Array::New(env, size_t(count));
  for (int i = 0; i < count; i++) {
    auto pair = Napi::Array::New(env, 2);
    pair.Set(0u, indices[size_t(i)]), pair.Set(1u, noisyScores[size_t(i)]);
    from.Set(uint32_t(i), pair);
  }
  auto out = Napi::Object::New(env);
  out.Set("all", all), out.Set("best", k.noisyBest(x.data, own, n, word, key)), out.Set("from", from);
  return out;
}

// drawFrom(isa, sampler, logits, position, allowed): the token drawn from any logits, -1 for none.
Napi::Value drawFrom(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "drawFrom");
  const KernelTable& k = kernelsOf(arguments);
  SamplerObject* sampler = SamplerObject::from(info[1]);
  if (!sampler) arguments.fail(1, "sampler", "a Sampler");
  View<float> logits = arguments.view<float>(2, "logits");
  DrawPlace place;
  place.position = arguments.integer(3, "position");
  std::vector<uint32_t> allowed;
  if (arguments.has(4)) {
    View<uint32_t> mask = arguments.view<uint32_t>(4, "allowed");
    allowed.assign(mask.data, mask.data + mask.size);
    place.allowed = &allowed;
  }
  SamplerScratch scratch;
  int32_t topTokens[MAX_LOGPROBS];
  float topLogprobs[MAX_LOGPROBS];
  DrawResult result =
      sampler->state()->draw(k, logits.data, int(logits.size), place, nullptr, scratch, topTokens, topLogprobs);
  return Napi::Number::New(info.Env(), result.token);
}

// repacked(type, rows, cols, bytes): a stored matrix packed into panels and read from them again.
Napi::Value repacked(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "repacked");
  const Format* format = packedFormat(arguments.text(0, "type"));
  int rows = arguments.integer(1, "rows"), cols = arguments.integer(2, "cols");
  View<uint8_t> bytes = arguments.view<uint8_t>(3, "bytes");
  if (!format || rows < 1 || cols < 1 || bytes.size != size_t(rows) * storedRowBytes(*format, cols))
    throw std::invalid_argument("the bytes do not fit the shape");
  Matrix m;
  m.format = *format, m.rows = rows, m.cols = cols, m.stride = panelBytes(*format, cols);
  std::vector<uint8_t> panels(m.stride * size_t(m.panels()));
  packPanels(bytes.data, *format, rows, cols, nullptr, panels.data(), 0, m.panels());
  m.data = panels.data();
  auto out = Napi::Float32Array::New(info.Env(), size_t(rows) * size_t(cols));
  for (int row = 0; row < rows; row++) unpackRow(m, row, out.Data() + size_t(row) * size_t(cols));
  return out;
}

// poolJobs(threads, jobs, phases, when): jobs of a pool whose event loop is busy when each begins, and idle from a
// phase on (`when`: its index, -1 for never, -2 for random times). Each phase counts its items and those of the phase
// before.
Napi::Value poolJobs(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "poolJobs");
  const int threads = arguments.integer(0, "threads"), jobs = arguments.integer(1, "jobs");
  const int nPhases = arguments.integer(2, "phases"), when = arguments.integer(3, "when");
  constexpr int ITEMS = 64;
  Pool pool(threads, true);
  std::atomic<int> wrong{0}, joined{0};
  std::atomic<bool> isOver{false};
  std::thread random([&] {
    std::mt19937 bits(1);
    while (when == -2 && !isOver) {
      pool.setEventLoopBusy(bits() % 2 == 0);
      for (uint32_t i = bits() % 4096; i > 0; i--) cpuRelax();
    }
  });
  for (int job = 0; job < jobs; job++) {
    std::vector<std::atomic<int>> next(size_t(nPhases) + 1), done(size_t(nPhases) + 1);
    std::atomic<bool> hasJoined{false};
    Barrier& barrier = pool.barrier();
    auto work = [&](int thread, bool joins) {
      int64_t first = joins ? barrier.join(uint32_t(nPhases)) : 0;
      if (first < 0) return;
      if (joins) joined++, hasJoined = true;
      for (int64_t phase = first; phase < nPhases; phase++) {
        if (phase == when && thread == 0) {
          pool.setEventLoopBusy(false);
          while (!hasJoined) std::this_thread::yield();
        }
        if (phase > 0 && done[size_t(phase) - 1] != ITEMS) wrong++;
        while (next[size_t(phase)]++ < ITEMS) done[size_t(phase)]++;
        barrier.wait();
      }
    };
    if (when > -2) pool.setEventLoopBusy(true);
    pool.runJoinable(work);
    for (int phase = 0; phase < nPhases; phase++) wrong += done[size_t(phase)] != ITEMS;
  }
  isOver = true;
  random.join();
  auto out = Napi::Object::New(info.Env());
  out.Set("wrong", wrong.load()), out.Set("joined", joined.load());
  return out;
}

template <Napi::Value (*function)(const Napi::CallbackInfo&)>
Napi::Function guardedFunction(Napi::Env env) {
  return Napi::Function::New(
      env, [](const Napi::CallbackInfo& info) { return guarded(info.Env(), [&] { return function(info); }); });
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("Sampler", SamplerObject::define(env));
  exports.Set("math", guardedFunction<math>(env));
  exports.Set("noisy", guardedFunction<noisy>(env));
  exports.Set("drawFrom", guardedFunction<drawFrom>(env));
  exports.Set("repacked", guardedFunction<repacked>(env));
  exports.Set("poolJobs", guardedFunction<poolJobs>(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(idlm_native_test, init)

}  // namespace idlm
