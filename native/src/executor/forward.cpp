#include <algorithm>
#include <chrono>
#include <cstring>
#include <stdexcept>

#include "executor/trig.h"
#include "program/model.h"

namespace idlm {

namespace {

[[noreturn]] void fail(const std::string& what) { throw std::invalid_argument(what); }

const char* nameOf(StepKind kind) {
  switch (kind) {
    case StepKind::Embed:
      return "embed";
    case StepKind::Enter:
      return "enter";
    case StepKind::Norm:
      return "norm";
    case StepKind::HeadNorm:
      return "headNorm";
    case StepKind::LoraA:
      return "adapter";
    case StepKind::Linear:
      return "linear";
    case StepKind::Swiglu:
      return "swiglu";
    case StepKind::Add:
      return "add";
    case StepKind::RotateStore:
      return "rotateStore";
    case StepKind::Attention:
      return "attention";
    case StepKind::Quantise:
      return "quantise";
    case StepKind::Gather:
      return "gather";
    case StepKind::Logits:
      return "logits";
    default:
      return "draw";
  }
}

int grown(int have, int need) { return have >= need ? have : need + need / 4; }

}  // namespace

int Model::activeRows(Rows rows) const {
  return rows == Rows::Tokens ? layout_.nTokens() : rows == Rows::All ? layout_.nRows() : layout_.nOutputs();
}

void Model::prepare(std::vector<int32_t>&& layout, SamplingInput&& sampling, const KvCache& cache) {
  proposalHeads_.forget();
  layout_.assign(std::move(layout), {vocab_, cache.nPages, hasMask_, entryLayer_ > 0});
  sampling_ = std::move(sampling);
  int n = layout_.nRows();
  nGated_ = nGatedTokens_ = 0;
  gatedIndex_.assign(size_t(n), NONE);
  for (int r = 0; r < n; r++) {
    if (!layout_.row(r).gate) continue;
    gatedIndex_[size_t(r)] = nGated_++;
    nGatedTokens_ += r < layout_.nTokens();
  }
  for (const DrawInput& d : sampling_.draws) {
    int output = layout_.outputOf(d.row);
    if (output == NONE || output >= layout_.nTokenOutputs()) fail("a draw's row must be a token row with an output");
  }
  Lookaheads::check(sampling_.lookaheads, layout_, proposalHeads_.extra.size());
  tokenTiling_ = tilingOf(layout_.nTokens());
  tiling_ = layout_.nTokens() == n ? tokenTiling_ : tilingOf(n);
  reserve(n, layout_.nOutputs(), layout_.nSlots());
  drawn.assign(sampling_.draws.size(), DrawResult{});
  topTokens.resize(sampling_.draws.size() * MAX_LOGPROBS);
  topLogprobs.resize(topTokens.size());
  lookaheads_.clear();

  // Angles of the rows' positions, shared by all layers.
  int half = headDim_ / 2;
  for (int i = 0; i < n; i++)
    for (int j = 0; j < half; j++) {
      double s, c;
      sineCosine(double(layout_.row(i).position) * inverseFrequencies_[size_t(j)], s, c);
      cosine_[size_t(i) * size_t(half) + size_t(j)] = float(c * attentionFactor_);
      sine_[size_t(i) * size_t(half) + size_t(j)] = float(s * attentionFactor_);
    }
}

// Rows of a sequence read the same keys and values: as many together as attention takes, unless threads would be idle.
Model::Tiling Model::tilingOf(int nRows) const {
  std::vector<int> ends(size_t(layout_.nSequences()), 0);
  for (int r = 0; r < nRows; r++) ends[size_t(layout_.row(r).sequence)]++;
  int begin = 0, most = ATTENTION_QUERIES * kvHeads_ / heads_;
  if (most < 1 || (nRows + most - 1) / most * kvHeads_ < 2 * pool_->threads()) most = 1;
  Tiling tiling;
  tiling.rows.resize(size_t(nRows));
  for (size_t s = 0; s < ends.size(); s++) {
    int end = begin + ends[s];
    for (int r = begin; r < end; r += most) tiling.tiles.push_back({r, end - r < most ? end - r : most, int(s)});
    ends[s] = begin;
    begin = end;
  }
  for (int r = 0; r < nRows; r++) tiling.rows[size_t(ends[size_t(layout_.row(r).sequence)]++)] = r;
  return tiling;
}

void Model::reserve(int rows, int outputs, int positions) {
  if (rows > capacity_) {
    capacity_ = grown(capacity_, rows);
    bufferMemory_ = Arena(bufferWidth_ * size_t(capacity_) * 4);
    quantisedMemory_ = Arena(quantisedWidth_ * size_t(capacity_) + 64);
    tMemory_ = Arena(tWidth_ * size_t(capacity_) + 64);
    lowRank_.resize(lowRankWidth_ * size_t(capacity_));
    cosine_.resize(size_t(capacity_) * size_t(headDim_ / 2));
    sine_.resize(cosine_.size());
  }
  if (outputs > outputCapacity_) {
    outputCapacity_ = grown(outputCapacity_, outputs);
    // Off multiples of 4 KiB: rows whose stores share a cache set would wait for each other.
    logitsStride_ = size_t(vocab_ + PANEL - 1) / PANEL * PANEL + 5 * PANEL;
    logitsMemory_ = Arena(logitsStride_ * size_t(outputCapacity_) * 4);
    logitMaxima_.resize(size_t(output_.panels()) * size_t(outputCapacity_));
  }
  int padded = (positions + 3 * PAGE) / PAGE * PAGE;
  if (padded > scoreCapacity_) {
    scoreCapacity_ = padded + padded / 4 / PAGE * PAGE;
    for (auto& s : attentionScratch_) s.resize(attentionScratch(dPad_, scoreCapacity_));
  }
}

// Every thread has a contiguous share, so that it reads memory in order, and takes it in chunks; one that is done early
// helps the others. Who computes an item does not matter to its bits.
template <class Fn>
void Model::items(int step, int thread, int n, int chunk, Fn fn) {
  int threads = pool_->threads();
  for (int i = 0; i < threads; i++) {
    int owner = (thread + i) % threads;
    int begin = int(int64_t(n) * owner / threads), end = int(int64_t(n) * (owner + 1) / threads);
    std::atomic<int>& next = counters_[(size_t(step) * size_t(threads) + size_t(owner)) * 16];
    for (;;) {
      int at = begin + next.fetch_add(chunk, std::memory_order_relaxed);
      if (at >= end) break;
      fn(at, at + chunk < end ? at + chunk : end);
    }
  }
}

void Model::linearStep(const Step& step, int index, int thread) {
  int nRows = activeRows(step.rows);
  LinearPart parts[MAX_PARTS];
  LinearArgs a;
  a.nParts = int(step.parts.size());
  int panels = 0;
  for (int i = 0; i < a.nParts; i++) {
    const LoweredPart& p = step.parts[size_t(i)];
    parts[i].weight = p.weight, parts[i].bias = p.bias;
    if (step.kind == StepKind::Logits) {
      parts[i].out = reinterpret_cast<float*>(logitsMemory_.data());
      parts[i].outStride = logitsStride_;
    } else {
      parts[i].out = buffer(p.out), parts[i].outStride = size_t(widths_[size_t(p.out)]);
    }
    parts[i].loraB = p.loraB, parts[i].loraOffset = p.loraOffset;
    panels += p.weight.panels();
  }
  a.parts = parts;
  a.x = step.integer ? quantised(step.x) : reinterpret_cast<const uint8_t*>(buffer(step.x));
  a.xStride = step.integer ? quantisedStride_[size_t(step.x)] : size_t(widths_[size_t(step.x)]) * 4;
  a.nRows = nRows;
  a.epilogue = step.epilogue;
  if (step.hasLora && nGated_ > 0) {
    a.gated = gatedIndex_.data();
    a.t = tMemory_.data(), a.tStride = tWidth_;
  }
  int n = panels;
  if (step.epilogue == Epilogue::Swiglu || step.epilogue == Epilogue::SwigluQuantised) {
    parts[0].out = buffer(step.out), parts[0].outStride = size_t(widths_[size_t(step.out)]);
    a.quantisedOut = step.quantise ? quantised(step.out) : nullptr;
    a.quantisedStride = quantisedStride_[size_t(step.out)];
    n = (step.parts[0].weight.panels() + 1) / 2;
  }
  if (step.kind == StepKind::Logits && nRows > layout_.nTokenOutputs()) {
    // Proposals look for the likeliest few of the MASK rows' logits.
    a.maxima = logitMaxima_.data(), a.maximaStride = size_t(output_.panels()), a.maximaFrom = layout_.nTokenOutputs();
  }
  if (step.kind == StepKind::Logits && draftSize_ > 0) {
    a.limitPanel = (draftSize_ + PANEL - 1) / PANEL;
    a.limitRows = layout_.nTokenOutputs();
    if (layout_.nTokenOutputs() == 0) n = a.limitPanel;
  }
  int chunk = n / (pool_->threads() * 4);
  if (chunk < 1) chunk = 1;
  if (chunk > 16) chunk = 16;
  if (nRows == 0) return;
  items(index, thread, n, chunk, [&](int begin, int end) { kernels_->linear(a, begin, end); });
}

// t = A x of the gated rows, ready for the product with B. Items are panels; of integer weights whoever ends a part
// quantises it.
void Model::loraStep(const Step& step, int index, int thread) {
  int nRows = activeRows(step.rows), nGated = step.rows == Rows::Tokens ? nGatedTokens_ : nGated_;
  int nPanels = 0;
  for (const LoweredPart& p : step.parts) nPanels += p.loraA.data ? p.loraA.panels() : 0;
  items(index, thread, nPanels, 1, [&](int item, int) {
    size_t at = 0;
    while (!step.parts[at].loraA.data || item >= step.parts[at].loraA.panels()) {
      const LoweredPart& before = step.parts[at++];
      item -= before.loraA.data ? before.loraA.panels() : 0;
    }
    const LoweredPart& p = step.parts[at];
    bool integer = isInteger(p.loraB.format);
    LinearPart part;
    part.weight = p.loraA;
    for (int row = 0; row < nRows;) {
      if (gatedIndex_[size_t(row)] < 0) {
        row++;
        continue;
      }
      int last = row + 1;
      while (last < nRows && gatedIndex_[size_t(last)] >= 0) last++;
      size_t gated = size_t(gatedIndex_[size_t(row)]);
      part.out = integer ? lowRank_.data() + gated * lowRankWidth_ + p.loraFirst
                         : reinterpret_cast<float*>(tMemory_.data() + gated * tWidth_ + p.loraOffset);
      part.outStride = integer ? lowRankWidth_ : tWidth_ / 4;
      LinearArgs a;
      a.parts = &part, a.nParts = 1, a.nRows = last - row;
      a.xStride = step.integer ? quantisedStride_[size_t(step.x)] : size_t(widths_[size_t(step.x)]) * 4;
      a.x = (step.integer ? quantised(step.x) : reinterpret_cast<const uint8_t*>(buffer(step.x))) +
            size_t(row) * a.xStride;
      kernels_->linear(a, item, item + 1);
      row = last;
    }
    if (!integer || lowRankDone_[at].fetch_add(1, std::memory_order_acq_rel) + 1 < p.loraA.panels()) return;
    lowRankDone_[at].store(0, std::memory_order_relaxed);
    for (size_t g = 0; g < size_t(nGated); g++)
      kernels_->quantise(lowRank_.data() + g * lowRankWidth_ + p.loraFirst, p.loraA.rows,
                         tMemory_.data() + g * tWidth_ + p.loraOffset);
  });
}

void Model::runStep(const Step& step, int index, int thread, KvCache& cache) {
  int n = activeRows(step.rows);
  const KernelTable& k = *kernels_;
  auto width = [&](int id) { return size_t(widths_[size_t(id)]); };
  auto row = [&](int id, int r) { return buffer(id) + size_t(r) * width(id); };
  switch (step.kind) {
    case StepKind::Embed:
      items(index, thread, n, 1, [&](int r, int) {
        const ForestLayout::Row& info = layout_.row(r);
        float* out = row(step.out, r);
        if (info.token < 0) {
          int depth = info.depth < depths_ ? info.depth : depths_;
          memcpy(out, maskEmbedding_.data() + size_t(depth - 1) * size_t(hidden_), size_t(hidden_) * 4);
        } else {
          int at = embeddingIsOutput_ && !inverse_.empty() ? inverse_[size_t(info.token)] : info.token;
          unpackRow(embedding_, at, out);
        }
      });
      return;
    case StepKind::Enter:
      items(index, thread, n - layout_.nTokens(), 1, [&](int i, int) {
        const ForestLayout::Row& info = layout_.row(layout_.nTokens() + i);
        int depth = info.depth < depths_ ? info.depth : depths_;
        const float *from = row(step.x, info.anchor),
                    *own = maskEmbedding_.data() + size_t(depth - 1) * size_t(hidden_);
        float* out = row(step.x, layout_.nTokens() + i);
        for (int j = 0; j < hidden_; j++) out[j] = from[j] * entryScale_ + own[j];
      });
      return;
    case StepKind::Norm:
      items(index, thread, n, 1, [&](int r, int) {
        k.rmsnorm(row(step.x, r), step.vector, step.cols, step.epsilon, row(step.out, r));
        if (step.quantise)
          k.quantise(row(step.out, r), step.cols, quantised(step.out) + size_t(r) * quantisedStride_[size_t(step.out)]);
      });
      return;
    case StepKind::HeadNorm:
      items(index, thread, n, 1, [&](int r, int) {
        for (int h = 0; h < step.heads; h++)
          k.rmsnorm(row(step.x, r) + h * step.cols, step.vector, step.cols, step.epsilon,
                    row(step.out, r) + h * step.cols);
      });
      return;
    case StepKind::LoraA:
      return loraStep(step, index, thread);
    case StepKind::Linear:
    case StepKind::Logits:
      return linearStep(step, index, thread);
    case StepKind::Swiglu:
      items(index, thread, n, 1, [&](int r, int) {
        k.swiglu(row(step.gate, r), row(step.up, r), row(step.out, r), int(width(step.out)));
        if (step.quantise)
          k.quantise(row(step.out, r), int(width(step.out)),
                     quantised(step.out) + size_t(r) * quantisedStride_[size_t(step.out)]);
      });
      return;
    case StepKind::Quantise:
      items(index, thread, n, 1, [&](int r, int) {
        k.quantise(row(step.out, r), int(width(step.out)),
                   quantised(step.out) + size_t(r) * quantisedStride_[size_t(step.out)]);
      });
      return;
    case StepKind::Add:
      items(index, thread, n, 1, [&](int r, int) { k.add(row(step.x, r), row(step.y, r), int(width(step.x))); });
      return;
    case StepKind::RotateStore: {
      // Items: a row and a KV head, with the query heads that share it.
      int group = heads_ / kvHeads_;
      size_t element = half_ ? 2 : 4, headBytes = 2 * size_t(dPad_) * PAGE * element,
             pageBytes = headBytes * size_t(kvHeads_);
      uint8_t* layer = cache.memory.data() + size_t(step.layer) * cache.layerBytes;
      items(index, thread, n * kvHeads_, 1, [&](int item, int) {
        int r = item / kvHeads_, h = item % kvHeads_;
        const ForestLayout::Row& info = layout_.row(r);
        const float *cosine = cosine_.data() + size_t(r) * size_t(headDim_ / 2),
                    *sine = sine_.data() + size_t(r) * size_t(headDim_ / 2);
        for (int i = h * group; i < (h + 1) * group; i++) {
          float* q = row(qRotated_, r) + size_t(i) * size_t(dPad_);
          memcpy(q, row(step.x, r) + size_t(i) * size_t(headDim_), size_t(headDim_) * 4);
          k.rope(q, cosine, sine, headDim_);
        }
        float* key = row(step.y, r) + size_t(h) * size_t(headDim_);
        k.rope(key, cosine, sine, headDim_);
        const int32_t* pages = layout_.pages(info.sequence);
        uint8_t* page = layer + size_t(pages[info.slot / PAGE]) * pageBytes + size_t(h) * headBytes;
        k.storeKv(key, row(step.up, r) + size_t(h) * size_t(headDim_), page, info.slot % PAGE, headDim_, dPad_, half_);
      });
      return;
    }
    case StepKind::Attention: {
      int group = heads_ / kvHeads_;
      size_t element = half_ ? 2 : 4, headBytes = 2 * size_t(dPad_) * PAGE * element;
      const Tiling& tiling = n == layout_.nTokens() ? tokenTiling_ : tiling_;
      // Items: rows of a sequence that are computed together, and a KV head.
      items(index, thread, int(tiling.tiles.size()) * kvHeads_, 1, [&](int item, int) {
        const Tiling::Tile& tile = tiling.tiles[size_t(item / kvHeads_)];
        const int32_t* tileRows = tiling.rows.data() + tile.first;
        int h = item % kvHeads_;
        AttentionRow rows[ATTENTION_QUERIES];
        for (int i = 0; i < tile.n; i++) {
          int r = tileRows[i];
          const ForestLayout::Row& info = layout_.row(r);
          AttentionRow& own = rows[i];
          own.q = row(qRotated_, r) + size_t(h) * size_t(group) * size_t(dPad_);
          own.out = row(step.out, r) + size_t(h) * size_t(group) * size_t(headDim_);
          own.length = info.nBefore, own.tail = layout_.tail(r), own.nTail = info.nTail;
        }
        AttentionArgs a;
        a.rows = rows, a.nRows = tile.n;
        a.cache = cache.memory.data() + size_t(step.layer) * cache.layerBytes + size_t(h) * headBytes;
        a.pageBytes = headBytes * size_t(kvHeads_), a.vOffset = size_t(dPad_) * PAGE * element;
        a.pages = layout_.pages(tile.sequence);
        a.group = group, a.headDim = headDim_, a.dPad = dPad_;
        a.scale = attentionScale_;
        a.half = half_;
        a.scratch = attentionScratch_[size_t(thread)].data(), a.scoreStride = size_t(scoreCapacity_);
        k.attention(a);
        if (!step.quantise) return;
        int groups = group * headDim_ / GROUP;
        for (int i = 0; i < tile.n; i++)
          k.quantiseGroups(rows[i].out, quantised(step.out) + size_t(tileRows[i]) * quantisedStride_[size_t(step.out)],
                           h * groups, groups);
      });
      return;
    }
    case StepKind::Gather:
      items(index, thread, n, 1,
            [&](int r, int) { memcpy(row(step.out, r), row(step.x, layout_.outputs()[r]), width(step.out) * 4); });
      return;
    case StepKind::Draw:
      items(index, thread, int(sampling_.draws.size()), 1, [&](int i, int) { drawRow(size_t(i), thread); });
      return;
  }
}

void Model::forward(KvCache& cache) {
  for (size_t i = 0; i < steps_.size() * size_t(pool_->threads()); i++)
    counters_[i * 16].store(0, std::memory_order_relaxed);
  barrier_.reset(pool_->threads());
  if (profile) timings.clear();
  auto work = [&](int thread) {
    auto last = std::chrono::steady_clock::now();
    for (size_t i = 0; i < steps_.size(); i++) {
      const Step& step = steps_[i];
      // Every thread skips the same steps.
      if (step.kind == StepKind::LoraA && nGated_ == 0) continue;
      if (step.kind == StepKind::Draw && sampling_.draws.empty()) continue;
      if (activeRows(step.rows) == 0) continue;
      runStep(step, int(i), thread, cache);
      barrier_.wait();
      if (profile && thread == 0) {
        auto now = std::chrono::steady_clock::now();
        timings[nameOf(step.kind)] += std::chrono::duration<double, std::milli>(now - last).count();
        last = now;
      }
    }
    if (sampling_.lookaheads.empty()) return;
    if (thread == 0) lookaheads_.start(sampling_, drawn), nextLevel();
    barrier_.wait();
    while (hasLevel_) {
      proposalHeads_.run(thread, barrier_);
      if (thread == 0) nextLevel();
      barrier_.wait();
    }
  };
  pool_->run(work);
}

// Begins the next level of the lookaheads, if there is one.
void Model::nextLevel() {
  hasLevel_ = false;
  std::vector<ProposalInput> requests = lookaheads_.nextLevel(levelAnswers_);
  if (requests.empty()) return;
  proposalHeads_.begin(outputRows(), std::move(requests), levelAnswers_);
  hasLevel_ = true;
}

OutputRows Model::outputRows() {
  OutputRows rows;
  rows.hidden = buffer(logitsX_), rows.hiddenStride = size_t(widths_[size_t(logitsX_)]);
  rows.logits = reinterpret_cast<const float*>(logitsMemory_.data()), rows.logitsStride = logitsStride_;
  rows.maxima = logitMaxima_.data(), rows.maximaStride = size_t(output_.panels());
  rows.n = layout_.nOutputs(), rows.nTokens = layout_.nTokenOutputs();
  rows.outputOf = layout_.outputOf(), rows.nRows = layout_.nRows();
  return rows;
}

void Model::drawRow(size_t i, int thread) {
  const DrawInput& draw = sampling_.draws[i];
  DrawResult& out = drawn[i];
  const float* packed =
      reinterpret_cast<const float*>(logitsMemory_.data()) + size_t(layout_.outputOf(draw.row)) * logitsStride_;
  if (draw.sampler->isArgmax(draw.place())) {
    if (!kernels_->argmax(packed, vocab_, order_.empty() ? nullptr : order_.data(), &out.token)) out.status = 1;
    return;
  }
  const float* byId = packed;
  if (!order_.empty()) {
    std::vector<float>& row = scratch_[size_t(thread)];
    if (row.size() < size_t(vocab_)) row.resize(size_t(vocab_));
    logits(draw.row, row.data());
    byId = row.data();
  }
  out = draw.sampler->draw(*kernels_, byId, vocab_, draw.place(), draw.trial.get(), samplerScratch_[size_t(thread)],
                           topTokens.data() + i * MAX_LOGPROBS, topLogprobs.data() + i * MAX_LOGPROBS);
}

void Model::moveKv(KvCache& cache, const std::vector<int32_t>& pages, const std::vector<int32_t>& from,
                   const std::vector<int32_t>& to) {
  if (from.size() != to.size()) fail("moveKv: from and to differ in length");
  size_t element = half_ ? 2 : 4, vOffset = size_t(dPad_) * PAGE * element, headBytes = 2 * vOffset,
         pageBytes = headBytes * size_t(kvHeads_);
  for (size_t i = 0; i < from.size(); i++)
    for (int32_t slot : {from[i], to[i]})
      if (slot < 0 || size_t(slot) >= pages.size() * PAGE || pages[size_t(slot / PAGE)] < 0 ||
          pages[size_t(slot / PAGE)] >= cache.nPages)
        fail("moveKv: slot " + std::to_string(slot) + " is not in the pages");
  for (int layer = 0; layer < layers_; layer++) {
    uint8_t* base = cache.memory.data() + size_t(layer) * cache.layerBytes;
    for (size_t i = 0; i < from.size(); i++) {
      if (from[i] == to[i]) continue;
      uint8_t *a = base + size_t(pages[size_t(from[i] / PAGE)]) * pageBytes,
              *b = base + size_t(pages[size_t(to[i] / PAGE)]) * pageBytes;
      size_t la = size_t(from[i] % PAGE), lb = size_t(to[i] % PAGE), rowBytes = size_t(dPad_) * element;
      for (int h = 0; h < kvHeads_; h++, a += headBytes, b += headBytes) {
        for (size_t d = 0; d < size_t(dPad_); d++)
          memcpy(b + (d * PAGE + lb) * element, a + (d * PAGE + la) * element, element);
        memcpy(b + vOffset + lb * rowBytes, a + vOffset + la * rowBytes, rowBytes);
      }
    }
  }
}

void Model::hidden(int row, float* out) const {
  int output = layout_.outputOf(row);
  if (output == NONE) fail("row " + std::to_string(row) + " has no output");
  memcpy(out, buffer(logitsX_) + size_t(output) * size_t(widths_[size_t(logitsX_)]), size_t(hidden_) * 4);
}

int Model::logitsLength(int row) const {
  int output = layout_.outputOf(row);
  if (output == NONE) fail("row " + std::to_string(row) + " has no output");
  return output >= layout_.nTokenOutputs() && draftSize_ > 0 ? draftSize_ : vocab_;
}

void Model::logits(int row, float* out) const {
  int n = logitsLength(row);
  const float* packed =
      reinterpret_cast<const float*>(logitsMemory_.data()) + size_t(layout_.outputOf(row)) * logitsStride_;
  if (order_.empty() || n < vocab_) {
    memcpy(out, packed, size_t(n) * 4);  // the draft vocabulary lies first, in its order
    return;
  }
  for (int i = 0; i < vocab_; i++) out[order_[size_t(i)]] = packed[i];
}

}  // namespace idlm
