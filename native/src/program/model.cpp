#include "program/model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "kernels/dispatch.h"

namespace idlm {

namespace {

int padded(int n) { return (n + PANEL - 1) / PANEL * PANEL; }

[[noreturn]] void fail(const std::string& what) { throw std::invalid_argument(what); }

}  // namespace

// Turns operations into steps. A step is what all threads do between two barriers, so norm + quantisation, linear +
// add, gate/up + swiglu + quantisation are one step each.
struct Model::Lowering {
  Lowering(Model& model, const ProgramSource& program) : m(model), source(program) {}
  Model& m;
  const ProgramSource& source;
  std::map<std::string, int> ids;
  std::map<std::string, Matrix> matrices;
  struct Job {
    const WeightSource* weight;
    std::vector<int32_t> order;
    size_t offset;
  };
  std::vector<Job> jobs;
  struct FloatJob {
    const float* w;
    int rows, cols;
    float scale;
    Format format;
    size_t offset;
  };
  std::vector<FloatJob> floatJobs;
  size_t bytes = 0;

  const WeightSource& weight(const std::string& id) const {
    auto found = source.weights.find(id);
    if (found == source.weights.end()) fail("weight " + id + " is missing");
    return found->second;
  }

  int bufferId(const std::string& name) const {
    auto found = ids.find(name);
    if (found == ids.end()) fail("buffer " + name + " is missing");
    return found->second;
  }

  size_t reserve(size_t n) {
    size_t at = bytes;
    bytes += (n + 63) / 64 * 64;
    return at;
  }

  // Declares a matrix; `data` holds its offset until the memory is there.
  Matrix matrix(const std::string& id) {
    auto found = matrices.find(id);
    if (found != matrices.end()) return found->second;
    const WeightSource& w = weight(id);
    const Format* format = packedFormat(w.type);
    size_t rowBytes = format && w.cols > 0 ? storedRowBytes(*format, w.cols) : 0;
    if (w.rows < 1 || rowBytes == 0)
      fail("weight " + id + ": type " + w.type + " of " + std::to_string(w.rows) + " x " + std::to_string(w.cols) +
           " is not supported");
    if (w.size != rowBytes * size_t(w.rows))
      fail("weight " + id + ": has " + std::to_string(w.size) + " bytes, expected " +
           std::to_string(rowBytes * size_t(w.rows)));
    if (!w.order.empty() && int(w.order.size()) != w.rows) fail("weight " + id + ": row order has another length");
    for (int32_t row : w.order)
      if (row < 0 || row >= w.rows) fail("weight " + id + ": row order is out of range");
    Matrix result;
    result.format = *format;
    result.rows = w.rows, result.cols = w.cols;
    result.stride = panelBytes(result.format, w.cols);
    size_t offset = reserve(result.stride * size_t(result.panels()));
    result.data = reinterpret_cast<const uint8_t*>(offset);
    jobs.push_back({&w, w.order, offset});
    return matrices[id] = result;
  }

  const float* vector(const std::string& id, int expected) {
    const WeightSource& w = weight(id);
    const Format* format = packedFormat(w.type);
    int n = w.rows * w.cols;
    if (n != expected)
      fail("weight " + id + ": has " + std::to_string(n) + " elements, expected " + std::to_string(expected));
    if (!format || isInteger(*format) || w.size != storedRowBytes(*format, n))
      fail("weight " + id + ": a vector must be F32, F16 or BF16");
    std::vector<float> v(size_t(padded(n)), 0.0f);
    for (int i = 0; i < n; i++) {
      int from = w.order.empty() ? i : w.order[size_t(i)];
      if (from < 0 || from >= n) fail("weight " + id + ": row order is out of range");
      if (*format == Format::F32)
        memcpy(&v[size_t(i)], w.bytes + size_t(from) * 4, 4);
      else {
        uint16_t h = uint16_t(w.bytes[size_t(from) * 2] | (w.bytes[size_t(from) * 2 + 1] << 8));
        uint32_t bits = uint32_t(h) << 16;
        if (*format == Format::F16)
          v[size_t(i)] = halfBits(h);
        else
          memcpy(&v[size_t(i)], &bits, 4);
      }
    }
    m.vectors_.push_back(std::move(v));
    return m.vectors_.back().data();
  }

  Matrix floats(const float* w, int rows, int cols, float scale, Format format) {
    Matrix r;
    r.format = format, r.rows = rows, r.cols = cols;
    r.stride = panelBytes(format, cols);
    size_t offset = reserve(r.stride * size_t(r.panels()));
    r.data = reinterpret_cast<const uint8_t*>(offset);
    floatJobs.push_back({w, rows, cols, scale, format, offset});
    return r;
  }

  void needQuantised(int buffer) {
    size_t& stride = m.quantisedStride_[size_t(buffer)];
    if (stride == 0) stride = Quantised::stride(source.buffers.empty() ? 0 : m.widths_[size_t(buffer)]);
  }

  // The step that wrote `buffer` last also quantises it.
  void quantiseProducer(int buffer, std::vector<Step>& steps) {
    needQuantised(buffer);
    for (size_t i = steps.size(); i-- > 0;) {
      Step& s = steps[i];
      if (s.out != buffer) continue;
      if (s.kind == StepKind::Quantise) return;
      if (s.kind == StepKind::Attention && m.heads_ / m.kvHeads_ * m.headDim_ % GROUP != 0) {
        Step own{};  // groups straddle heads: after all of them
        own.kind = StepKind::Quantise, own.rows = s.rows, own.out = buffer;
        steps.push_back(own);
        return;
      }
      if (s.kind == StepKind::Norm || s.kind == StepKind::Attention) {
        s.quantise = true;
        return;
      }
      if (s.kind == StepKind::Linear && s.epilogue == Epilogue::Swiglu) {
        s.epilogue = Epilogue::SwigluQuantised, s.quantise = true;
        return;
      }
      if (s.kind == StepKind::Swiglu) {
        s.quantise = true;
        return;
      }
      fail("an integer product must read the result of a norm, an attention or a swiglu");
    }
    fail("a product reads a buffer that nothing wrote");
  }

  int cols(int buffer) const { return logical[size_t(buffer)]; }
  std::vector<int> logical;  // widths without padding
  std::string embeddingId, outputId;

  void emitLinear(const Step& s, Step a) {
    if (s.hasLora) {
      a.parts = s.parts, a.tStride = s.tStride, a.lowRankStride = s.lowRankStride, a.integer = s.integer,
      a.hasLora = true;
      m.steps_.push_back(a);
    }
    m.steps_.push_back(s);
  }

  void run();
};

void Model::Lowering::run() {
  for (auto& [name, width] : source.buffers) {
    if (width < 1 || width > (1 << 24))
      fail("buffer " + name + ": width " + std::to_string(width) + " is out of range");
    ids[name] = int(m.widths_.size());
    logical.push_back(width);
    m.widths_.push_back(padded(width));
  }
  m.qRotated_ = int(m.widths_.size());
  m.widths_.push_back(m.heads_ * m.dPad_);
  logical.push_back(m.heads_ * m.dPad_);
  m.quantisedStride_.assign(m.widths_.size(), 0);
  std::vector<Step>& steps = m.steps_;
  Rows rows = m.hasMask_ && m.entryLayer_ > 0 ? Rows::Tokens : Rows::All;
  const auto& ops = source.operations;
  for (size_t at = 0; at < ops.size(); at++) {
    const OperationSource& op = ops[at];
    const OperationSource* next = at + 1 < ops.size() ? &ops[at + 1] : nullptr;
    Step s{};
    s.rows = rows;
    if (op.kind == "embed") {
      s.kind = StepKind::Embed;
      s.out = bufferId(op.out);
      m.embedding_ = matrix(op.weight);
      if (m.embedding_.rows != m.vocab_ || m.embedding_.cols != m.hidden_ || cols(s.out) != m.hidden_)
        fail("the embedding's shape does not fit the program");
      embeddingId = op.weight;
    } else if (op.kind == "enter") {
      s.kind = StepKind::Enter;
      s.x = bufferId(op.x);
      rows = s.rows = Rows::All;
    } else if (op.kind == "rmsnorm") {
      s.x = bufferId(op.x), s.out = bufferId(op.out);
      s.cols = weight(op.weight).cols * weight(op.weight).rows;
      if (s.cols < 1 || cols(s.x) % s.cols != 0 || cols(s.out) != cols(s.x)) fail("rmsnorm: shapes do not fit");
      s.kind = s.cols == cols(s.x) ? StepKind::Norm : StepKind::HeadNorm;
      s.heads = cols(s.x) / s.cols;
      s.vector = vector(op.weight, s.cols);
      s.epsilon = op.epsilon;
      m.epsilon_ = op.epsilon;
    } else if (op.kind == "linear") {
      s.kind = StepKind::Linear;
      s.x = bufferId(op.x);
      Step a{};
      a.kind = StepKind::LoraA, a.rows = rows, a.x = s.x;
      int integers = 0;
      if (op.parts.empty() || op.parts.size() > size_t(MAX_PARTS))
        fail("linear: 1 to " + std::to_string(MAX_PARTS) + " parts, not " + std::to_string(op.parts.size()));
      for (const PartSource& p : op.parts) {
        LoweredPart part;
        part.weight = matrix(p.weight);
        part.out = bufferId(p.out);
        if (part.weight.cols != cols(s.x) || part.weight.rows != cols(part.out))
          fail("linear " + p.weight + ": shapes do not fit");
        if (!p.bias.empty()) part.bias = vector(p.bias, part.weight.rows);
        integers += isInteger(part.weight.format);
        if (p.lora.rank > 0) {
          // Of the kind of the base's weights: float models are compared with float references.
          Format f = isInteger(part.weight.format) ? Format::Q8S : Format::F32;
          part.loraA = floats(p.lora.a, p.lora.rank, part.weight.cols, 1.0f, f);
          part.loraB = floats(p.lora.b, part.weight.rows, p.lora.rank, p.lora.scale, f);
          part.loraOffset = s.tStride, part.loraFirst = s.lowRankStride;
          s.lowRankStride += size_t(padded(p.lora.rank));
          s.tStride += f == Format::F32 ? size_t(padded(p.lora.rank)) * 4 : Quantised::stride(p.lora.rank);
          s.hasLora = true;
        }
        s.parts.push_back(part);
      }
      if (integers != 0 && integers != int(s.parts.size())) {
        // Mixed kinds of weights: one step each.
        Step integer = s, floating = s;
        integer.parts.clear(), floating.parts.clear();
        for (const LoweredPart& p : s.parts) (isInteger(p.weight.format) ? integer : floating).parts.push_back(p);
        quantiseProducer(s.x, steps);
        integer.integer = true;
        for (Step* half : {&integer, &floating}) emitLinear(*half, a);
        continue;
      }
      if (integers) s.integer = true, quantiseProducer(s.x, steps);
      if (next && next->kind == "swiglu" && s.parts.size() == 2 && bufferId(next->gate) == s.parts[0].out &&
          bufferId(next->up) == s.parts[1].out) {
        s.epilogue = Epilogue::Swiglu;
        s.out = bufferId(next->out);
        if (cols(s.out) != cols(s.parts[0].out) || cols(s.out) != cols(s.parts[1].out))
          fail("swiglu: shapes do not fit");
        at++;
      } else if (next && next->kind == "add" && s.parts.size() == 1 && bufferId(next->y) == s.parts[0].out) {
        s.epilogue = Epilogue::Add;
        if (cols(bufferId(next->x)) != cols(s.parts[0].out)) fail("add: shapes do not fit");
        s.parts[0].out = bufferId(next->x);
        at++;
      }
      emitLinear(s, a);
      continue;
    } else if (op.kind == "rope") {
      if (!next || next->kind != "attention" || next->q != op.q || next->k != op.k)
        fail("rope must be followed by the attention of the same q and k");
      continue;
    } else if (op.kind == "attention") {
      s.kind = StepKind::RotateStore;
      s.layer = op.layer;
      s.x = bufferId(op.q), s.y = bufferId(op.k), s.up = bufferId(op.v);
      if (op.layer < 0 || op.layer >= m.layers_ || cols(s.x) != m.heads_ * m.headDim_ ||
          cols(s.y) != m.kvHeads_ * m.headDim_ || cols(s.up) != cols(s.y))
        fail("attention: shapes do not fit");
      steps.push_back(s);
      s.kind = StepKind::Attention;
      s.out = bufferId(op.out);
      if (cols(s.out) != cols(s.x)) fail("attention: shapes do not fit");
    } else if (op.kind == "swiglu") {
      s.kind = StepKind::Swiglu;
      s.gate = bufferId(op.gate), s.up = bufferId(op.up), s.out = bufferId(op.out);
      if (cols(s.gate) != cols(s.up) || cols(s.gate) != cols(s.out)) fail("swiglu: shapes do not fit");
    } else if (op.kind == "add") {
      s.kind = StepKind::Add;
      s.x = bufferId(op.x), s.y = bufferId(op.y);
      if (cols(s.x) != cols(s.y)) fail("add: shapes do not fit");
    } else if (op.kind == "gather") {
      s.kind = StepKind::Gather;
      s.x = bufferId(op.x), s.out = bufferId(op.out);
      if (cols(s.x) != cols(s.out)) fail("gather: shapes do not fit");
      rows = s.rows = Rows::Outputs;
    } else if (op.kind == "logits") {
      s.kind = StepKind::Logits;
      s.x = bufferId(op.x);
      m.logitsX_ = s.x;
      m.output_ = matrix(op.weight);
      outputId = op.weight;
      if (rows != Rows::Outputs || m.output_.rows != m.vocab_ || m.output_.cols != cols(s.x) || cols(s.x) != m.hidden_)
        fail("logits: shapes do not fit");
      s.integer = isInteger(m.output_.format);
      if (s.integer) quantiseProducer(s.x, steps);
      LoweredPart part;
      part.weight = m.output_;
      s.parts.push_back(part);
    } else
      fail("operation " + op.kind + " is not known");
    steps.push_back(s);
  }
  if (outputId.empty() || embeddingId.empty()) fail("the program has no embed or no logits operation");
  Step draw{};
  draw.kind = StepKind::Draw, draw.rows = Rows::Outputs;
  steps.push_back(draw);
  if (m.head_) {
    Format f = isInteger(m.output_.format) ? Format::Q8S : Format::F32;
    m.proposalHeads_.first = floats(source.w1, m.hidden_, 2 * m.hidden_, 1.0f, f);
    m.proposalHeads_.second = floats(source.w2, m.hidden_, m.hidden_, 1.0f, f);
  }
  for (const ExtraHeadSource& head : source.extraHeads) {
    Format f = isInteger(m.output_.format) ? Format::Q8S : Format::F32;
    Heads::Extra extra;
    extra.weight = floats(head.weight, m.hidden_, m.hidden_, 1.0f, f);
    extra.bias.assign(head.bias, head.bias + m.hidden_);
    m.proposalHeads_.extra.push_back(std::move(extra));
  }

  // Draft vocabulary first: MASK rows look at the first panels only.
  m.draftSize_ = int(source.draftVocabulary.size());
  if (m.draftSize_ > 0) {
    std::vector<char> isDraft(size_t(m.vocab_), 0);
    int last = -1;
    for (int32_t id : source.draftVocabulary) {
      if (id <= last || id >= m.vocab_) fail("the draft vocabulary is not ascending or out of range");
      isDraft[size_t(id)] = 1, last = id;
    }
    m.order_ = source.draftVocabulary;
    for (int id = 0; id < m.vocab_; id++)
      if (!isDraft[size_t(id)]) m.order_.push_back(id);
    m.inverse_.resize(size_t(m.vocab_));
    for (int i = 0; i < m.vocab_; i++) m.inverse_[size_t(m.order_[size_t(i)])] = i;
  }

  m.weightMemory_ = Arena(bytes);
  m.weightBytes_ = bytes;
  uint8_t* base = m.weightMemory_.data();
  for (Job& job : jobs) {
    std::vector<int32_t> order = job.order;
    bool isOutput = job.weight == &weight(outputId);
    if (isOutput && !m.order_.empty()) {
      if (order.empty())
        order = m.order_;
      else
        for (size_t i = 0; i < order.size(); i++) order[i] = job.order[size_t(m.order_[i])];
    }
    job.order = std::move(order);
  }
  auto work = [&](int thread) {
    // Panels of every matrix are split over the threads.
    int n = m.pool_->threads();
    for (const Job& job : jobs) {
      const WeightSource& w = *job.weight;
      int panels = (w.rows + PANEL - 1) / PANEL;
      packPanels(w.bytes, *packedFormat(w.type), w.rows, w.cols, job.order.empty() ? nullptr : job.order.data(),
                 base + job.offset, int(int64_t(panels) * thread / n), int(int64_t(panels) * (thread + 1) / n));
    }
    for (size_t i = size_t(thread); i < floatJobs.size(); i += size_t(n)) {
      const FloatJob& job = floatJobs[i];
      packFloat(job.w, job.rows, job.cols, job.scale, job.format, base + job.offset);
    }
  };
  m.pool_->run(work);

  auto place = [&](Matrix& matrix) {
    if (matrix.rows > 0) matrix.data = base + reinterpret_cast<size_t>(matrix.data);
  };
  place(m.embedding_), place(m.output_), place(m.proposalHeads_.first), place(m.proposalHeads_.second);
  for (Heads::Extra& head : m.proposalHeads_.extra) place(head.weight);
  for (Step& s : steps) {
    for (LoweredPart& p : s.parts) place(p.weight), place(p.loraA), place(p.loraB);
    m.tWidth_ = std::max(m.tWidth_, s.tStride);
    m.lowRankWidth_ = std::max(m.lowRankWidth_, s.lowRankStride);
  }
  // The embedding is read by id: where it is the output matrix, through the order.
  m.embeddingIsOutput_ = embeddingId == outputId;
  size_t offset = 0, quantisedOffset = 0;
  m.quantisedOffset_.assign(m.widths_.size(), 0);
  for (size_t i = 0; i < m.widths_.size(); i++) {
    m.bufferOffset_.push_back(offset);
    offset += size_t(m.widths_[i]);
    m.quantisedOffset_[i] = quantisedOffset;
    quantisedOffset += m.quantisedStride_[i];
  }
  m.bufferWidth_ = offset, m.quantisedWidth_ = quantisedOffset;
}

Model::Model(const ProgramSource& source, std::shared_ptr<Pool> pool, const KernelTable* kernels)
    : pool_(std::move(pool)),
      kernels_(kernels),
      layers_(source.nLayers),
      hidden_(source.hiddenSize),
      vocab_(source.vocabSize),
      heads_(source.nHeads),
      kvHeads_(source.nKvHeads),
      headDim_(source.headDim),
      half_(source.halfCache),
      inverseFrequencies_(source.inverseFrequencies),
      attentionFactor_(source.attentionFactor),
      hasMask_(source.hasMask),
      sharedByDepth_(source.sharedByDepth),
      maskEmbedding_(source.maskEmbedding),
      depths_(source.nDepths),
      entryLayer_(source.entryLayer),
      entryScale_(source.entryScale) {
  if (layers_ < 1 || hidden_ < 1 || vocab_ < 1 || heads_ < 1 || kvHeads_ < 1 || heads_ % kvHeads_ != 0 ||
      headDim_ < 2 || headDim_ % 2 != 0 || headDim_ > 1024)
    fail("the program's sizes are out of range");
  if (int(inverseFrequencies_.size()) != headDim_ / 2)
    fail("the rotary embedding needs one frequency for each pair of a head");
  if (hasMask_ && (depths_ < 1 || maskEmbedding_.size() != size_t(depths_) * size_t(hidden_) || entryLayer_ < 0 ||
                   entryLayer_ >= layers_))
    fail("the MASK embedding does not fit the program");
  dPad_ = padded(headDim_);
  attentionScale_ = 1.0f / std::sqrt(float(headDim_));
  head_ = source.w1 != nullptr && source.w2 != nullptr;
  Lowering{*this, source}.run();
  counters_ = std::make_unique<std::atomic<int>[]>(steps_.size() * size_t(pool_->threads()) * 16);
  attentionScratch_.resize(size_t(pool_->threads()));
  scratch_.resize(size_t(pool_->threads()));
  samplerScratch_.resize(size_t(pool_->threads()));
  OutputLayer& layer = proposalHeads_.layer;
  layer.embedding = embedding_, layer.output = output_, layer.embeddingIsOutput = embeddingIsOutput_;
  layer.hidden = hidden_, layer.vocab = vocab_, layer.draftSize = draftSize_, layer.epsilon = epsilon_;
  layer.order = &order_, layer.inverse = &inverse_;
  proposalHeads_.prepare(kernels_, pool_->threads());
}

std::shared_ptr<KvCache> Model::createCache(int nPages) const {
  size_t page = size_t(kvHeads_) * 2 * size_t(dPad_) * PAGE * (half_ ? 2 : 4);
  if (nPages < 1 || size_t(nPages) > (size_t(1) << 46) / page / size_t(layers_))
    fail("a cache of " + std::to_string(nPages) + " pages is out of range");
  return std::make_shared<KvCache>(nPages, page * size_t(nPages) * size_t(layers_), page * size_t(nPages));
}

}  // namespace idlm
