// The boundary to JavaScript, typed in src/compute/native/binding.ts. What comes from there has been validated in
// TypeScript; what memory safety depends on is checked again in Model.
#include <fcntl.h>
#include <napi.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "kernels/dispatch.h"
#include "program/model.h"

namespace idlm {

namespace {

// ---- mapped files

// A mapping is released once, by unmapFile or when its ArrayBuffer is collected, whichever comes first: afterwards the
// system may give the same address to another file.
struct Mapping {
  void* data;
  size_t size;
};
std::mutex mappedLock;
std::unordered_map<void*, Mapping*> mapped;  // live ones, by address

void release(Mapping* mapping) {
  if (!mapping->data) return;
  mapped.erase(mapping->data);
  munmap(mapping->data, mapping->size);
  mapping->data = nullptr;
}

// Gives back the memory of a mapped range; the file still backs it.
void forget(const uint8_t* bytes, size_t size) {
  std::lock_guard<std::mutex> lock(mappedLock);
  for (auto& [base, mapping] : mapped) {
    auto* begin = static_cast<const uint8_t*>(base);
    if (bytes < begin || bytes + size > begin + mapping->size) continue;
    uintptr_t page = uintptr_t(sysconf(_SC_PAGESIZE)), first = (uintptr_t(bytes) + page - 1) / page * page,
              last = (uintptr_t(bytes) + size) / page * page;
    if (last > first) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
  }
}

Napi::Value mapFile(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string path = info[0].As<Napi::String>();
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw Napi::Error::New(env, path + ": " + strerror(errno));
  struct stat st;
  if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0) {
    close(fd);
    throw Napi::Error::New(env, path + ": not a regular file with content");
  }
  void* data = mmap(nullptr, size_t(st.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  if (data == MAP_FAILED) throw Napi::Error::New(env, path + ": " + strerror(errno));
  auto* mapping = new Mapping{data, size_t(st.st_size)};
  {
    std::lock_guard<std::mutex> lock(mappedLock);
    mapped[data] = mapping;
  }
  return Napi::ArrayBuffer::New(
      env, data, size_t(st.st_size),
      [](Napi::Env, void*, Mapping* m) {
        {
          std::lock_guard<std::mutex> lock(mappedLock);
          release(m);
        }
        delete m;
      },
      mapping);
}

void unmapFile(const Napi::CallbackInfo& info) {
  auto buffer = info[0].As<Napi::ArrayBuffer>();
  void* data = buffer.Data();
  buffer.Detach();  // views become empty before the memory goes
  std::lock_guard<std::mutex> lock(mappedLock);
  auto found = mapped.find(data);
  if (found != mapped.end()) release(found->second);
}

// ---- reading arguments

int integer(const Napi::Object& o, const char* key) { return o.Get(key).As<Napi::Number>().Int32Value(); }

std::string text(const Napi::Object& o, const char* key) {
  Napi::Value v = o.Get(key);
  return v.IsString() ? v.As<Napi::String>().Utf8Value() : std::string();
}

template <class T, class View>
void copyView(const Napi::Value& v, std::vector<T>& out) {
  auto view = v.As<View>();
  out.assign(view.Data(), view.Data() + view.ElementLength());
}

std::vector<int32_t> integers(const Napi::Value& v) {
  std::vector<int32_t> out;
  if (v.IsTypedArray()) {
    copyView<int32_t, Napi::Int32Array>(v, out);
  } else if (v.IsArray()) {
    auto a = v.As<Napi::Array>();
    uint32_t n = a.Length();
    out.reserve(n);
    for (uint32_t i = 0; i < n; i++) out.push_back(a.Get(i).As<Napi::Number>().Int32Value());
  }
  return out;
}

const float* floats(const Napi::Value& v, size_t expected, const char* what) {
  auto view = v.As<Napi::Float32Array>();
  if (view.ElementLength() != expected)
    throw std::invalid_argument(std::string(what) + ": has " + std::to_string(view.ElementLength()) +
                                " elements, expected " + std::to_string(expected));
  return view.Data();
}

// `holds` keeps every view whose memory the program points to: a view may be made anew by each access to a property.
ProgramSource readProgram(const Napi::Object& p, std::vector<Napi::ObjectReference>& holds) {
  auto hold = [&](const Napi::Value& v) {
    holds.push_back(Napi::Persistent(v.As<Napi::Object>()));
    return v;
  };
  ProgramSource s;
  s.nLayers = integer(p, "nLayers"), s.hiddenSize = integer(p, "hiddenSize"), s.vocabSize = integer(p, "vocabSize");
  s.nHeads = integer(p, "nHeads"), s.nKvHeads = integer(p, "nKvHeads"), s.headDim = integer(p, "headDim");
  s.halfCache = text(p, "cacheType") == "f16";
  auto rope = p.Get("rope").As<Napi::Object>();
  copyView<double, Napi::Float64Array>(rope.Get("inverseFrequencies"), s.inverseFrequencies);
  s.attentionFactor = rope.Get("attentionFactor").As<Napi::Number>().DoubleValue();
  auto buffers = p.Get("buffers").As<Napi::Object>();
  for (const auto& [key, value] : buffers)
    s.buffers[Napi::Value(key).As<Napi::String>().Utf8Value()] = Napi::Value(value).As<Napi::Number>().Int32Value();
  auto weights = p.Get("weights").As<Napi::Object>();
  for (const auto& [key, value] : weights) {
    auto o = Napi::Value(value).As<Napi::Object>();
    WeightSource w;
    w.rows = integer(o, "rows"), w.cols = integer(o, "cols"), w.type = text(o, "type");
    auto bytes = hold(o.Get("bytes")).As<Napi::Uint8Array>();
    w.bytes = bytes.Data(), w.size = bytes.ByteLength();
    if (o.Get("rowOrder").IsTypedArray()) w.order = integers(o.Get("rowOrder"));
    s.weights[Napi::Value(key).As<Napi::String>().Utf8Value()] = std::move(w);
  }
  auto operations = p.Get("operations").As<Napi::Array>();
  for (uint32_t i = 0; i < operations.Length(); i++) {
    auto o = operations.Get(i).As<Napi::Object>();
    OperationSource op;
    op.kind = text(o, "kind"), op.x = text(o, "x"), op.y = text(o, "y"), op.weight = text(o, "weight"),
    op.out = text(o, "out");
    op.q = text(o, "q"), op.k = text(o, "k"), op.v = text(o, "v"), op.gate = text(o, "gate"), op.up = text(o, "up");
    if (o.Has("epsilon")) op.epsilon = o.Get("epsilon").As<Napi::Number>().FloatValue();
    if (o.Has("layer")) op.layer = integer(o, "layer");
    if (o.Has("parts")) {
      auto parts = o.Get("parts").As<Napi::Array>();
      for (uint32_t j = 0; j < parts.Length(); j++) {
        auto part = parts.Get(j).As<Napi::Object>();
        PartSource ps;
        ps.weight = text(part, "weight"), ps.bias = text(part, "bias"), ps.out = text(part, "out");
        if (part.Get("lora").IsObject()) {
          auto lora = part.Get("lora").As<Napi::Object>();
          ps.lora.rank = integer(lora, "rank");
          ps.lora.scale = lora.Get("scale").As<Napi::Number>().FloatValue();
          auto found = s.weights.find(ps.weight);
          if (found == s.weights.end() || ps.lora.rank < 1 || ps.lora.rank > (1 << 16))
            throw std::invalid_argument("a low-rank term does not fit the program");
          size_t rank = size_t(ps.lora.rank);
          ps.lora.a = floats(hold(lora.Get("a")), rank * size_t(found->second.cols), "lora A");
          ps.lora.b = floats(hold(lora.Get("b")), rank * size_t(found->second.rows), "lora B");
        }
        op.parts.push_back(ps);
      }
    }
    s.operations.push_back(std::move(op));
  }
  if (p.Get("mask").IsObject()) {
    auto m = p.Get("mask").As<Napi::Object>();
    s.hasMask = true;
    copyView<float, Napi::Float32Array>(m.Get("embedding"), s.maskEmbedding);
    s.nDepths = integer(m, "nDepths"), s.entryLayer = integer(m, "entryLayer");
    s.sharedByDepth = m.Get("sharedByDepth").ToBoolean();
    s.entryScale = m.Get("entryScale").As<Napi::Number>().FloatValue();
    if (m.Get("samplerHead").IsObject()) {
      auto head = m.Get("samplerHead").As<Napi::Object>();
      size_t h = size_t(s.hiddenSize);
      s.w1 = floats(hold(head.Get("w1")), 2 * h * h, "sampler_head.w1"),
      s.w2 = floats(hold(head.Get("w2")), h * h, "sampler_head.w2");
    }
  }
  if (p.Get("draftVocabulary").IsTypedArray()) s.draftVocabulary = integers(p.Get("draftVocabulary"));
  if (p.Get("extraHeads").IsArray()) {
    auto heads = p.Get("extraHeads").As<Napi::Array>();
    size_t h = size_t(s.hiddenSize);
    for (uint32_t i = 0; i < heads.Length(); i++) {
      auto head = heads.Get(i).As<Napi::Object>();
      s.extraHeads.push_back({floats(hold(head.Get("weight")), h * h, "an extra head's weight"),
                              floats(hold(head.Get("bias")), h, "an extra head's bias")});
    }
  }
  return s;
}

// A promise that a worker thread settles.
template <class Result>
class Task : public Napi::AsyncWorker {
 public:
  Task(Napi::Env env, std::function<Result()> work, std::function<Napi::Value(Napi::Env, Result&)> finish)
      : Napi::AsyncWorker(env, "idlm"),
        deferred_(Napi::Promise::Deferred::New(env)),
        work_(std::move(work)),
        finish_(std::move(finish)) {}
  Napi::Promise promise() const { return deferred_.Promise(); }
  std::vector<Napi::ObjectReference> holds;  // what must live until then
  std::function<void()> always = [] {};      // on the event loop, before the promise settles

 protected:
  void Execute() override {
    try {
      result_ = work_();
    } catch (const std::bad_alloc&) {
      SetError("not enough memory");
    } catch (const std::exception& e) {
      SetError(e.what());
    }
  }
  void OnOK() override {
    Napi::HandleScope scope(Env());
    always();
    deferred_.Resolve(finish_(Env(), result_));
  }
  void OnError(const Napi::Error& error) override {
    Napi::HandleScope scope(Env());
    always();
    deferred_.Reject(error.Value());
  }

 private:
  Napi::Promise::Deferred deferred_;
  std::function<Result()> work_;
  std::function<Napi::Value(Napi::Env, Result&)> finish_;
  Result result_{};
};

// Runs `fn`, turning C++ exceptions into JavaScript's.
template <class Fn>
auto guarded(Napi::Env env, Fn fn) -> decltype(fn()) {
  try {
    return fn();
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw Napi::Error::New(env, "not enough memory");
  } catch (const std::exception& e) {
    throw Napi::Error::New(env, e.what());
  }
}

class SamplerObject : public Napi::ObjectWrap<SamplerObject> {
 public:
  static Napi::FunctionReference constructor;
  static void init(Napi::Env env, Napi::Object exports) {
    constructor = Napi::Persistent(DefineClass(
        env, "Sampler",
        {InstanceMethod("prompt", &SamplerObject::prompt), InstanceMethod("accept", &SamplerObject::accept)}));
    constructor.SuppressDestruct();
    exports.Set("Sampler", constructor.Value());
  }
  explicit SamplerObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SamplerObject>(info) {
    auto o = info[0].As<Napi::Object>();
    auto number = [&](const char* key) { return o.Get(key).As<Napi::Number>().DoubleValue(); };
    SamplerSettings s;
    s.repetitionPenalty = float(number("repetitionPenalty")), s.presencePenalty = float(number("presencePenalty"));
    s.frequencyPenalty = float(number("frequencyPenalty")), s.temperature = float(number("temperature"));
    s.topP = float(number("topP")), s.minP = float(number("minP"));
    s.topK = int(number("topK")), s.choice = int(number("choice")), s.logprobs = int(number("logprobs"));
    s.seed = uint64_t(number("seed"));
    s.biasTokens = integers(o.Get("biasTokens"));
    copyView<float, Napi::Float32Array>(o.Get("biasValues"), s.biasValues);
    s.biasValues.resize(s.biasTokens.size());
    state = std::make_shared<SamplerState>(std::move(s));
  }
  std::shared_ptr<SamplerState> state;

 private:
  void prompt(const Napi::CallbackInfo& info) {
    auto tokens = integers(info[0]);
    state->prompt(tokens.data(), tokens.size());
  }
  void accept(const Napi::CallbackInfo& info) { state->accept(info[0].As<Napi::Number>().Int32Value()); }
};
Napi::FunctionReference SamplerObject::constructor;

std::shared_ptr<const Trial> readTrial(const Napi::Object& o) {
  auto trial = std::make_shared<Trial>();
  trial->tokens = integers(o.Get("tokens"));
  trial->tau = o.Get("tau").As<Napi::Number>().DoubleValue();
  auto from = o.Get("from").As<Napi::Array>();
  if (from.Length() != trial->tokens.size())
    throw std::invalid_argument("a trial's distributions are not as many as its tokens");
  Napi::Value last;
  for (uint32_t i = 0; i < from.Length(); i++) {
    Napi::Value value = from.Get(i);
    // Siblings of one proposer share what they were drawn from.
    if (i > 0 && value.StrictEquals(last)) {
      trial->from.push_back(trial->from.back());
      continue;
    }
    last = value;
    if (!value.IsObject()) {
      trial->from.push_back(nullptr);
      continue;
    }
    auto distribution = std::make_shared<Trial::Distribution>();
    distribution->tokens = integers(value.As<Napi::Object>().Get("tokens"));
    copyView<float, Napi::Float32Array>(value.As<Napi::Object>().Get("probabilities"), distribution->probabilities);
    if (distribution->tokens.size() != distribution->probabilities.size())
      throw std::invalid_argument("a trial's distribution has other tokens than probabilities");
    trial->from.push_back(std::move(distribution));
  }
  return trial;
}

// What packed requests refer to: (samplers, token masks, trials), the last two undefined where there are none.
RequestObjects readObjects(const Napi::Value& samplers, const Napi::Value& allowed, const Napi::Value& trials) {
  RequestObjects out;
  auto list = samplers.As<Napi::Array>();
  for (uint32_t i = 0, n = list.Length(); i < n; i++)
    out.samplers.push_back(SamplerObject::Unwrap(list.Get(i).As<Napi::Object>())->state);
  if (allowed.IsArray()) {
    auto masks = allowed.As<Napi::Array>();
    for (uint32_t i = 0, n = masks.Length(); i < n; i++) {
      auto mask = masks.Get(i).As<Napi::Uint32Array>();
      out.allowed.push_back(
          std::make_shared<const std::vector<uint32_t>>(mask.Data(), mask.Data() + mask.ElementLength()));
    }
  }
  if (trials.IsArray()) {
    auto all = trials.As<Napi::Array>();
    for (uint32_t i = 0, n = all.Length(); i < n; i++) out.trials.push_back(readTrial(all.Get(i).As<Napi::Object>()));
  }
  return out;
}

// Proposals as numbers, for each: [tokens, tokens of the distribution or -1, ids of both] and their shares.
struct PackedProposals {
  std::vector<int32_t> numbers;
  std::vector<float> shares;

  void add(const Proposed& p) {
    numbers.push_back(int32_t(p.tokens.size()));
    numbers.push_back(p.isDrawn ? int32_t(p.fromTokens.size()) : -1);
    numbers.insert(numbers.end(), p.tokens.begin(), p.tokens.end());
    shares.insert(shares.end(), p.confidences.begin(), p.confidences.end());
    if (!p.isDrawn) return;
    numbers.insert(numbers.end(), p.fromTokens.begin(), p.fromTokens.end());
    shares.insert(shares.end(), p.fromProbabilities.begin(), p.fromProbabilities.end());
  }
};

template <class Array, class T>
Array typedArray(Napi::Env env, const std::vector<T>& values) {
  auto out = Array::New(env, values.size());
  std::copy(values.begin(), values.end(), out.Data());
  return out;
}

class CacheObject : public Napi::ObjectWrap<CacheObject> {
 public:
  static Napi::FunctionReference constructor;
  static void init(Napi::Env env) {
    constructor = Napi::Persistent(DefineClass(
        env, "KvCache",
        {InstanceMethod("dispose", &CacheObject::dispose), InstanceAccessor("nPages", &CacheObject::nPages, nullptr)}));
    constructor.SuppressDestruct();
  }
  explicit CacheObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<CacheObject>(info) {}
  std::shared_ptr<KvCache> cache;

 private:
  void dispose(const Napi::CallbackInfo&) { cache.reset(); }
  Napi::Value nPages(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), cache ? cache->nPages : 0);
  }
};
Napi::FunctionReference CacheObject::constructor;

class ModelObject : public Napi::ObjectWrap<ModelObject> {
 public:
  static Napi::FunctionReference constructor;
  static void init(Napi::Env env) {
    constructor = Napi::Persistent(DefineClass(
        env, "Model",
        {InstanceMethod("createCache", &ModelObject::createCache), InstanceMethod("forward", &ModelObject::forward),
         InstanceMethod("hidden", &ModelObject::hidden), InstanceMethod("logits", &ModelObject::logits),
         InstanceMethod("draftLogits", &ModelObject::draftLogits), InstanceMethod("propose", &ModelObject::propose),
         InstanceMethod("moveKv", &ModelObject::moveKv), InstanceMethod("timings", &ModelObject::timings),
         InstanceMethod("dispose", &ModelObject::dispose),
         InstanceAccessor("weightBytes", &ModelObject::weightBytes, nullptr)}));
    constructor.SuppressDestruct();
  }
  explicit ModelObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ModelObject>(info) {}
  std::shared_ptr<Model> model;

 private:
  bool running_ = false;

  Model& ready(Napi::Env env) {
    if (!model) throw Napi::Error::New(env, "the model was disposed");
    if (running_) throw Napi::Error::New(env, "a forward of this model is running; wait for it");
    return *model;
  }

  Napi::Value createCache(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    return guarded(env, [&]() -> Napi::Value {
      auto cache = ready(env).createCache(info[0].As<Napi::Number>().Int32Value());
      Napi::Object o = CacheObject::constructor.New({});
      CacheObject::Unwrap(o)->cache = cache;
      return o;
    });
  }

  Napi::Value forward(const Napi::CallbackInfo& info) {
    // (layout, cache, requests, samplers, token masks, trials)
    Napi::Env env = info.Env();
    ready(env);
    auto cacheObject = info[1].As<Napi::Object>();
    if (!cacheObject.InstanceOf(CacheObject::constructor.Value()))
      throw Napi::Error::New(env, "forward: the second argument is no KvCache");
    auto cache = CacheObject::Unwrap(cacheObject)->cache;
    if (!cache) throw Napi::Error::New(env, "the KV cache was disposed");
    return guarded(env, [&]() -> Napi::Value {
      auto layout = std::make_shared<std::vector<int32_t>>();
      copyView<int32_t, Napi::Int32Array>(info[0], *layout);
      auto requests = info[2].As<Napi::Float64Array>();
      auto sampling = std::make_shared<SamplingInput>(
          readSampling(requests.Data(), requests.ElementLength(), readObjects(info[3], info[4], info[5])));
      auto keep = model;
      auto* task = new Task<bool>(
          env,
          [keep, cache, layout, sampling] {
            keep->prepare(std::move(*layout), std::move(*sampling), *cache);
            keep->forward(*cache);
            return true;
          },
          [keep](Napi::Env e, bool&) -> Napi::Value { return resultsOf(e, *keep); });
      return start(task);
    });
  }

  // On a worker thread, while nothing else uses the model.
  template <class Result>
  Napi::Value start(Task<Result>* task) {
    running_ = true;
    task->always = [this] { running_ = false; };
    task->holds.push_back(Napi::Persistent(Value()));
    task->Queue();
    return task->promise();
  }

  // [token and status of each draw, lookaheads and their proposals as PackedProposals, log-probabilities of the draws]
  static Napi::Value resultsOf(Napi::Env env, const Model& m) {
    auto out = Napi::Array::New(env);
    auto drawn = Napi::Int32Array::New(env, 2 * m.drawn.size());
    bool hasLogprobs = false;
    for (size_t i = 0; i < m.drawn.size(); i++) {
      drawn[2 * i] = m.drawn[i].token, drawn[2 * i + 1] = m.drawn[i].status;
      hasLogprobs = hasLogprobs || m.hasLogprobs(i);
    }
    out.Set(0u, drawn);
    if (!m.lookaheads().empty()) {
      PackedProposals packed;
      for (const Lookaheads::Result& ahead : m.lookaheads()) {
        packed.numbers.push_back(int32_t(ahead.nodes.size()));
        packed.numbers.push_back(ahead.row), packed.numbers.push_back(ahead.next);
        for (const Lookaheads::Node& node : ahead.nodes) {
          packed.numbers.push_back(node.parent), packed.numbers.push_back(node.rank);
          packed.add(node.proposed);
        }
      }
      out.Set(1u, typedArray<Napi::Int32Array>(env, packed.numbers));
      out.Set(2u, typedArray<Napi::Float32Array>(env, packed.shares));
    }
    if (!hasLogprobs) return out;
    auto logprobs = Napi::Array::New(env, m.drawn.size());
    for (size_t i = 0; i < m.drawn.size(); i++) {
      if (!m.hasLogprobs(i)) continue;
      size_t n = size_t(m.drawn[i].nTop);
      auto o = Napi::Object::New(env);
      auto tokens = Napi::Int32Array::New(env, n);
      auto values = Napi::Float32Array::New(env, n);
      std::copy_n(m.topTokens.data() + i * MAX_LOGPROBS, n, tokens.Data());
      std::copy_n(m.topLogprobs.data() + i * MAX_LOGPROBS, n, values.Data());
      o.Set("logprob", m.drawn[i].logprob);
      o.Set("topTokens", tokens);
      o.Set("topLogprobs", values);
      logprobs.Set(uint32_t(i), o);
    }
    out.Set(3u, logprobs);
    return out;
  }

  // (requests, samplers, token masks): all at once on the threads of the pool, off the event loop.
  Napi::Value propose(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    ready(env);
    return guarded(env, [&]() -> Napi::Value {
      auto data = info[0].As<Napi::Float64Array>();
      auto requests = std::make_shared<std::vector<ProposalInput>>(
          readProposals(data.Data(), data.ElementLength(), readObjects(info[1], info[2], env.Undefined())));
      auto keep = model;
      auto* task = new Task<PackedProposals>(
          env,
          [keep, requests] {
            std::vector<Proposed> found;
            keep->heads().propose(keep->pool(), keep->outputRows(), std::move(*requests), found);
            PackedProposals packed;
            for (const Proposed& one : found) packed.add(one);
            return packed;
          },
          [](Napi::Env e, PackedProposals& packed) -> Napi::Value {
            auto out = Napi::Array::New(e);
            out.Set(0u, typedArray<Napi::Int32Array>(e, packed.numbers));
            out.Set(1u, typedArray<Napi::Float32Array>(e, packed.shares));
            return out;
          });
      return start(task);
    });
  }

  template <class Fn>
  Napi::Value row(const Napi::CallbackInfo& info, Fn fn) {
    Napi::Env env = info.Env();
    return guarded(env, [&]() -> Napi::Value { return fn(ready(env), info[0].As<Napi::Number>().Int32Value()); });
  }
  Napi::Value hidden(const Napi::CallbackInfo& info) {
    return row(info, [&](Model& m, int r) {
      auto out = Napi::Float32Array::New(info.Env(), size_t(m.hiddenSize()));
      m.hidden(r, out.Data());
      return out;
    });
  }
  Napi::Value logits(const Napi::CallbackInfo& info) {
    return row(info, [&](Model& m, int r) {
      auto out = Napi::Float32Array::New(info.Env(), size_t(m.logitsLength(r)));
      m.logits(r, out.Data());
      return out;
    });
  }
  // (kind, row, previous token or head)
  Napi::Value draftLogits(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    return guarded(env, [&]() -> Napi::Value {
      Model& m = ready(env);
      int kind = info[0].As<Napi::Number>().Int32Value();
      if (kind < 0 || kind > int(ProposalKind::Token)) throw std::invalid_argument("draftLogits: the kind is unknown");
      auto out = Napi::Float32Array::New(env, size_t(m.heads().draftLength(ProposalKind(kind))));
      m.heads().draftLogits(m.outputRows(), ProposalKind(kind), info[1].As<Napi::Number>().Int32Value(),
                            info[2].As<Napi::Number>().Int32Value(), out.Data());
      return out;
    });
  }
  void moveKv(const Napi::CallbackInfo& info) {
    auto cache = CacheObject::Unwrap(info[0].As<Napi::Object>())->cache;
    guarded(info.Env(), [&] {
      Model& m = ready(info.Env());
      if (!cache) throw std::invalid_argument("the KV cache was disposed");
      m.moveKv(*cache, integers(info[1]), integers(info[2]), integers(info[3]));
    });
  }
  Napi::Value timings(const Napi::CallbackInfo& info) {
    Model& m = ready(info.Env());
    m.profile = true;
    auto out = Napi::Object::New(info.Env());
    for (auto& [name, ms] : m.timings) out.Set(name, ms);
    return out;
  }
  void dispose(const Napi::CallbackInfo&) { model.reset(); }
  Napi::Value weightBytes(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), model ? double(model->weightBytes()) : 0.0);
  }
};
Napi::FunctionReference ModelObject::constructor;

class BackendObject : public Napi::ObjectWrap<BackendObject> {
 public:
  static Napi::Function init(Napi::Env env) {
    return DefineClass(
        env, "Backend",
        {InstanceMethod("load", &BackendObject::load), InstanceMethod("bandwidth", &BackendObject::bandwidth)});
  }
  // (threads, isa)
  explicit BackendObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<BackendObject>(info) {
    guarded(info.Env(), [&] {
      int threads = info[0].As<Napi::Number>().Int32Value();
      if (threads < 1 || threads > 256)
        throw std::invalid_argument("threads: expected 1 to 256, found " + std::to_string(threads));
      kernels_ = kernelTable(info[1].As<Napi::String>());
      if (!kernels_)
        throw std::invalid_argument("this CPU or build cannot run " + info[1].As<Napi::String>().Utf8Value());
      pool_ = std::make_shared<Pool>(threads);
    });
  }

 private:
  Napi::Value load(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    return guarded(env, [&]() -> Napi::Value {
      std::vector<Napi::ObjectReference> holds;
      auto source = std::make_shared<ProgramSource>(readProgram(info[0].As<Napi::Object>(), holds));
      auto pool = pool_;
      auto* kernels = kernels_;
      auto* task = new Task<std::shared_ptr<Model>>(
          env,
          [source, pool, kernels] {
            auto model = std::make_shared<Model>(*source, pool, kernels);
            for (auto& [id, w] : source->weights) forget(w.bytes, w.size);
            return model;
          },
          [](Napi::Env, std::shared_ptr<Model>& model) -> Napi::Value {
            Napi::Object o = ModelObject::constructor.New({});
            ModelObject::Unwrap(o)->model = model;
            return o;
          });
      task->holds = std::move(holds);
      task->Queue();
      return task->promise();
    });
  }

  // GB/s of reading `bytes` of memory with all threads, the best of `rounds`.
  Napi::Value bandwidth(const Napi::CallbackInfo& info) {
    size_t bytes = size_t(info[0].As<Napi::Number>().Int64Value());
    int rounds = info[1].As<Napi::Number>().Int32Value();
    auto pool = pool_;
    auto* kernels = kernels_;
    auto* task = new Task<double>(
        info.Env(),
        [=] {
          Arena memory(bytes);
          memset(memory.data(), 1, bytes);
          double best = 0;
          std::vector<float> sink(size_t(pool->threads()) * 16);
          for (int r = 0; r < rounds; r++) {
            auto begin = std::chrono::steady_clock::now();
            auto work = [&](int t) {
              size_t n = bytes / 4 / 64 * 64, from = n * size_t(t) / size_t(pool->threads()) / 64 * 64,
                     to = n * size_t(t + 1) / size_t(pool->threads()) / 64 * 64;
              kernels->readAll(reinterpret_cast<const float*>(memory.data()) + from, to - from, &sink[size_t(t) * 16]);
            };
            pool->run(work);
            double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
            best = std::max(best, double(bytes) / seconds / 1e9);
          }
          return best;
        },
        [](Napi::Env env, double& gb) -> Napi::Value { return Napi::Number::New(env, gb); });
    task->Queue();
    return task->promise();
  }

  std::shared_ptr<Pool> pool_;
  const KernelTable* kernels_ = nullptr;
};

// math(isa, which, x): for tests of the elementary functions.
Napi::Value mathOf(const Napi::CallbackInfo& info) {
  const KernelTable* k = kernelTable(info[0].As<Napi::String>());
  if (!k) throw Napi::Error::New(info.Env(), "this CPU or build cannot run it");
  auto x = info[2].As<Napi::Float32Array>();
  auto out = Napi::Float32Array::New(info.Env(), x.ElementLength());
  k->mathTest(x.Data(), out.Data(), int(x.ElementLength()), info[1].As<Napi::Number>().Int32Value());
  return out;
}

// noisy(isa, scores, ids, word, key, least): all scores with noise, the best of them, those from `least` on; for tests.
Napi::Value noisyOf(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const KernelTable* k = kernelTable(info[0].As<Napi::String>());
  if (!k) throw Napi::Error::New(env, "this CPU or build cannot run it");
  auto x = info[1].As<Napi::Float32Array>();
  int n = int(x.ElementLength());
  std::vector<int32_t> ids, indices(size_t(n) + 1);
  if (info[2].IsTypedArray()) ids = integers(info[2]);
  uint32_t word = info[3].As<Napi::Number>().Uint32Value(), key = info[4].As<Napi::Number>().Uint32Value();
  float least = info[5].As<Napi::Number>().FloatValue();
  auto all = Napi::Float32Array::New(env, size_t(n));
  std::vector<float> noisy(size_t(n) + 1);
  const int32_t* own = ids.empty() ? nullptr : ids.data();
  k->addGumbel(x.Data(), own, n, word, key, all.Data());
  int count = k->noisyFrom(x.Data(), own, n, word, key, least, indices.data(), noisy.data());
  auto from = Napi::Array::New(env, size_t(count));
  for (int i = 0; i < count; i++) {
    auto pair = Napi::Array::New(env, 2);
    pair.Set(0u, indices[size_t(i)]), pair.Set(1u, noisy[size_t(i)]);
    from.Set(uint32_t(i), pair);
  }
  auto out = Napi::Object::New(env);
  out.Set("all", all), out.Set("best", k->noisyBest(x.Data(), own, n, word, key)), out.Set("from", from);
  return out;
}

// drawFrom(isa, sampler, logits, position, allowed): the token drawn from any logits, -1 for none; for tests.
Napi::Value drawFrom(const Napi::CallbackInfo& info) {
  const KernelTable* k = kernelTable(info[0].As<Napi::String>());
  if (!k) throw Napi::Error::New(info.Env(), "this CPU or build cannot run it");
  auto sampler = SamplerObject::Unwrap(info[1].As<Napi::Object>())->state;
  auto logits = info[2].As<Napi::Float32Array>();
  DrawPlace place;
  place.position = info[3].As<Napi::Number>().Int64Value();
  std::vector<uint32_t> allowed;
  if (info[4].IsTypedArray()) {
    auto mask = info[4].As<Napi::Uint32Array>();
    allowed.assign(mask.Data(), mask.Data() + mask.ElementLength());
    place.allowed = &allowed;
  }
  SamplerScratch scratch;
  int32_t topTokens[MAX_LOGPROBS];
  float topLogprobs[MAX_LOGPROBS];
  DrawResult result =
      sampler->draw(*k, logits.Data(), int(logits.ElementLength()), place, nullptr, scratch, topTokens, topLogprobs);
  return Napi::Number::New(info.Env(), result.token);
}

// repacked(type, rows, cols, bytes): for tests of the panels.
Napi::Value repacked(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const Format* format = packedFormat(info[0].As<Napi::String>());
  int rows = info[1].As<Napi::Number>().Int32Value(), cols = info[2].As<Napi::Number>().Int32Value();
  auto bytes = info[3].As<Napi::Uint8Array>();
  if (!format || rows < 1 || cols < 1 || bytes.ElementLength() != size_t(rows) * storedRowBytes(*format, cols))
    throw Napi::Error::New(env, "the bytes do not fit the shape");
  Matrix m;
  m.format = *format, m.rows = rows, m.cols = cols, m.stride = panelBytes(*format, cols);
  std::vector<uint8_t> panels(m.stride * size_t(m.panels()));
  packPanels(bytes.Data(), *format, rows, cols, nullptr, panels.data(), 0, m.panels());
  m.data = panels.data();
  auto out = Napi::Float32Array::New(env, size_t(rows) * size_t(cols));
  for (int row = 0; row < rows; row++) unpackRow(m, row, out.Data() + size_t(row) * size_t(cols));
  return out;
}

Napi::Value isas(const Napi::CallbackInfo& info) {
  auto out = Napi::Array::New(info.Env());
  uint32_t i = 0;
  for (auto& name : supportedIsas()) out.Set(i++, name);
  return out;
}

}  // namespace

Napi::Object init(Napi::Env env, Napi::Object exports) {
  SamplerObject::init(env, exports);
  CacheObject::init(env);
  ModelObject::init(env);
  exports.Set("Backend", BackendObject::init(env));
  exports.Set("isas", Napi::Function::New(env, isas));
  exports.Set("math", Napi::Function::New(env, mathOf));
  exports.Set("noisy", Napi::Function::New(env, noisyOf));
  exports.Set("drawFrom", Napi::Function::New(env, drawFrom));
  exports.Set("mapFile", Napi::Function::New(env, mapFile));
  exports.Set("repacked", Napi::Function::New(env, repacked));
  exports.Set("unmapFile", Napi::Function::New(env, unmapFile));
  return exports;
}

NODE_API_MODULE(idlm_native, init)

}  // namespace idlm
