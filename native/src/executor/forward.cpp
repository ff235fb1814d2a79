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
  return rows == Rows::Tokens ? nTokens_ : rows == Rows::All ? int(rows_.size()) : nWanted_;
}

// Everything that memory depends on is checked here, whoever calls.
void Model::prepare(const ForestInput& forest, const KvCache& cache) {
  for (ExtraHead& head : extraHeads_) head.row = NONE;
  size_t n = forest.tokens.size();
  if (n == 0 || n > (size_t(1) << 20)) fail("a forest has 1 to 1048576 rows, not " + std::to_string(n));
  if (forest.positions.size() != n || forest.parents.size() != n || forest.gate.size() != n ||
      forest.sequence.size() != n || forest.wanted.size() != n)
    fail("the forest's arrays differ in length");
  for (const SequenceInput& s : forest.sequences) {
    if (s.length < 0 || size_t(s.length) > s.pages.size() * PAGE) fail("a sequence is longer than its pages");
    for (int32_t page : s.pages)
      if (page < 0 || page >= cache.nPages) fail("page " + std::to_string(page) + " is not in the cache");
  }
  forest_ = forest;
  std::vector<int32_t> slot(n), internal(n), depth(n, 0), anchor(n, NONE);
  std::vector<char> identity(n, 0);
  std::vector<int> used(forest.sequences.size(), 0);
  nTokens_ = nWanted_ = nWantedTokens_ = 0;
  for (size_t r = 0; r < n; r++) {
    int token = forest.tokens[r], parent = forest.parents[r], seq = forest.sequence[r], position = forest.positions[r];
    if (token < -1 || token >= vocab_)
      fail("row " + std::to_string(r) + ": token " + std::to_string(token) + " is not in the vocabulary");
    if (parent < -1 || parent >= int(r))
      fail("row " + std::to_string(r) + ": parent " + std::to_string(parent) + " does not come before it");
    if (seq < 0 || size_t(seq) >= forest.sequences.size())
      fail("row " + std::to_string(r) + ": sequence " + std::to_string(seq) + " is not there");
    if (position < 0 || position >= (1 << 20))
      fail("row " + std::to_string(r) + ": position " + std::to_string(position) + " is out of range");
    if (parent >= 0 && forest.sequence[size_t(parent)] != seq)
      fail("row " + std::to_string(r) + ": its parent is of another sequence");
    const SequenceInput& s = forest.sequences[size_t(seq)];
    slot[r] = s.length + used[size_t(seq)]++;
    if (size_t(slot[r]) >= s.pages.size() * PAGE) fail("row " + std::to_string(r) + ": the sequence's pages are full");
    identity[r] = parent < 0 ? slot[r] == s.length : identity[size_t(parent)] && slot[r] == slot[size_t(parent)] + 1;
    if (token < 0) {
      if (!hasMask_) fail("row " + std::to_string(r) + ": a MASK row, but no adapter with a MASK embedding is loaded");
      bool below = parent >= 0 && forest.tokens[size_t(parent)] < 0;
      depth[r] = below ? depth[size_t(parent)] + 1 : 1;
      anchor[r] = below ? anchor[size_t(parent)] : parent;
      if (depth[r] > depths_ && !sharedByDepth_)
        fail("row " + std::to_string(r) + ": a MASK row of depth " + std::to_string(depth[r]) + ", the adapter has " +
             std::to_string(depths_));
      if (entryLayer_ > 0 && anchor[r] < 0)
        fail("row " + std::to_string(r) + ": a MASK row's anchor must be in the same forward");
    } else {
      if (entryLayer_ > 0 && parent >= 0 && forest.tokens[size_t(parent)] < 0)
        fail("row " + std::to_string(r) + ": a token row cannot follow a MASK row that enters late");
      nTokens_++;
    }
  }
  // Inside, token rows come first.
  rows_.resize(n);
  int at[2] = {0, nTokens_};
  wantedOf_.assign(n, NONE);
  std::vector<int32_t> wanted[2];
  int positions = 0;
  tails_.clear();
  for (size_t r = 0; r < n; r++) {
    bool mask = forest.tokens[r] < 0;
    internal[r] = at[mask]++;
    Row& row = rows_[size_t(internal[r])];
    row.token = forest.tokens[r], row.position = forest.positions[r], row.depth = depth[r];
    row.anchor = anchor[r] < 0 ? NONE : internal[size_t(anchor[r])];
    row.sequence = forest.sequence[r], row.slot = slot[r], row.gated = forest.gate[r] != 0;
    row.identity = identity[r], row.tail = tails_.size(), row.nTail = 0;
    if (!row.identity) {
      int count = 0;
      for (int i = int(r); i >= 0; i = forest.parents[size_t(i)]) count++;
      row.nTail = count;
      tails_.resize(row.tail + size_t(count));
      for (int i = int(r), j = count; i >= 0; i = forest.parents[size_t(i)])
        tails_[row.tail + size_t(--j)] = slot[size_t(i)];
    }
    positions = slot[r] + 1 > positions ? slot[r] + 1 : positions;
    if (forest.wanted[r]) wanted[mask].push_back(int(r));
  }
  wantedRows_.clear();
  for (auto& list : wanted)
    for (int32_t r : list) {
      wantedOf_[size_t(r)] = int(wantedRows_.size());
      wantedRows_.push_back(internal[size_t(r)]);
    }
  nWanted_ = int(wantedRows_.size()), nWantedTokens_ = int(wanted[0].size());
  nGated_ = nGatedTokens_ = 0;
  gatedIndex_.assign(n, NONE);
  for (size_t i = 0; i < n; i++) {
    if (!rows_[i].gated) continue;
    gatedIndex_[i] = nGated_++;
    nGatedTokens_ += int(i) < nTokens_;
  }
  for (const DrawInput& d : forest.draws) {
    int w = d.row >= 0 && size_t(d.row) < n ? wantedOf_[size_t(d.row)] : NONE;
    if (w == NONE || forest.tokens[size_t(d.row)] < 0) fail("a draw's row must be a wanted token row");
  }
  tokenTiling_ = tilingOf(nTokens_);
  tiling_ = nTokens_ == int(n) ? tokenTiling_ : tilingOf(int(n));
  reserve(int(n), nWanted_, positions);
  drawn.assign(forest.draws.size(), DrawResult{});
  topTokens.resize(forest.draws.size() * MAX_LOGPROBS);
  topLogprobs.resize(topTokens.size());

  // Angles of the rows' positions, shared by all layers.
  int half = headDim_ / 2;
  for (size_t i = 0; i < n; i++)
    for (int j = 0; j < half; j++) {
      double s, c;
      sineCosine(double(rows_[i].position) * inverseFrequencies_[size_t(j)], s, c);
      cosine_[i * size_t(half) + size_t(j)] = float(c * attentionFactor_);
      sine_[i * size_t(half) + size_t(j)] = float(s * attentionFactor_);
    }
}

// Rows of a sequence read the same keys and values: as many together as attention takes, unless threads would be idle.
Model::Tiling Model::tilingOf(int nRows) const {
  std::vector<int> ends(forest_.sequences.size(), 0);
  for (int r = 0; r < nRows; r++) ends[size_t(rows_[size_t(r)].sequence)]++;
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
  for (int r = 0; r < nRows; r++) tiling.rows[size_t(ends[size_t(rows_[size_t(r)].sequence)]++)] = r;
  return tiling;
}

void Model::reserve(int rows, int wanted, int positions) {
  if (rows > capacity_) {
    capacity_ = grown(capacity_, rows);
    bufferMemory_ = Arena(bufferWidth_ * size_t(capacity_) * 4);
    quantisedMemory_ = Arena(quantisedWidth_ * size_t(capacity_) + 64);
    tMemory_ = Arena(tWidth_ * size_t(capacity_) + 64);
    lowRank_.resize(lowRankWidth_ * size_t(capacity_));
    cosine_.resize(size_t(capacity_) * size_t(headDim_ / 2));
    sine_.resize(cosine_.size());
  }
  if (wanted > wantedCapacity_) {
    wantedCapacity_ = grown(wantedCapacity_, wanted);
    // Off multiples of 4 KiB: rows whose stores share a cache set would wait for each other.
    logitsStride_ = size_t(vocab_ + PANEL - 1) / PANEL * PANEL + 5 * PANEL;
    logitsMemory_ = Arena(logitsStride_ * size_t(wantedCapacity_) * 4);
    logitMaxima_.resize(size_t(output_.panels()) * size_t(wantedCapacity_));
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
  if (step.kind == StepKind::Logits && nRows > nWantedTokens_) {
    // Proposals look for the likeliest few of the MASK rows' logits.
    a.maxima = logitMaxima_.data(), a.maximaStride = size_t(output_.panels()), a.maximaFrom = nWantedTokens_;
  }
  if (step.kind == StepKind::Logits && draftSize_ > 0) {
    a.limitPanel = (draftSize_ + PANEL - 1) / PANEL;
    a.limitRows = nWantedTokens_;
    if (nWantedTokens_ == 0) n = a.limitPanel;
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
        const Row& info = rows_[size_t(r)];
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
      items(index, thread, n - nTokens_, 1, [&](int i, int) {
        const Row& info = rows_[size_t(nTokens_ + i)];
        int depth = info.depth < depths_ ? info.depth : depths_;
        const float *from = row(step.x, info.anchor),
                    *own = maskEmbedding_.data() + size_t(depth - 1) * size_t(hidden_);
        float* out = row(step.x, nTokens_ + i);
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
        const Row& info = rows_[size_t(r)];
        const float *cosine = cosine_.data() + size_t(r) * size_t(headDim_ / 2),
                    *sine = sine_.data() + size_t(r) * size_t(headDim_ / 2);
        for (int i = h * group; i < (h + 1) * group; i++) {
          float* q = row(qRotated_, r) + size_t(i) * size_t(dPad_);
          memcpy(q, row(step.x, r) + size_t(i) * size_t(headDim_), size_t(headDim_) * 4);
          k.rope(q, cosine, sine, headDim_);
        }
        float* key = row(step.y, r) + size_t(h) * size_t(headDim_);
        k.rope(key, cosine, sine, headDim_);
        const auto& pages = forest_.sequences[size_t(info.sequence)].pages;
        uint8_t* page = layer + size_t(pages[size_t(info.slot / PAGE)]) * pageBytes + size_t(h) * headBytes;
        k.storeKv(key, row(step.up, r) + size_t(h) * size_t(headDim_), page, info.slot % PAGE, headDim_, dPad_, half_);
      });
      return;
    }
    case StepKind::Attention: {
      int group = heads_ / kvHeads_;
      size_t element = half_ ? 2 : 4, headBytes = 2 * size_t(dPad_) * PAGE * element;
      const Tiling& tiling = n == nTokens_ ? tokenTiling_ : tiling_;
      // Items: rows of a sequence that are computed together, and a KV head.
      items(index, thread, int(tiling.tiles.size()) * kvHeads_, 1, [&](int item, int) {
        const Tiling::Tile& tile = tiling.tiles[size_t(item / kvHeads_)];
        const int32_t* tileRows = tiling.rows.data() + tile.first;
        int h = item % kvHeads_;
        AttentionRow rows[ATTENTION_QUERIES];
        for (int i = 0; i < tile.n; i++) {
          int r = tileRows[i];
          const Row& info = rows_[size_t(r)];
          AttentionRow& own = rows[i];
          own.q = row(qRotated_, r) + size_t(h) * size_t(group) * size_t(dPad_);
          own.out = row(step.out, r) + size_t(h) * size_t(group) * size_t(headDim_);
          own.length = info.identity ? info.slot + 1 : forest_.sequences[size_t(tile.sequence)].length;
          own.tail = tails_.data() + info.tail, own.nTail = info.nTail;
        }
        AttentionArgs a;
        a.rows = rows, a.nRows = tile.n;
        a.cache = cache.memory.data() + size_t(step.layer) * cache.layerBytes + size_t(h) * headBytes;
        a.pageBytes = headBytes * size_t(kvHeads_), a.vOffset = size_t(dPad_) * PAGE * element;
        a.pages = forest_.sequences[size_t(tile.sequence)].pages.data();
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
            [&](int r, int) { memcpy(row(step.out, r), row(step.x, wantedRows_[size_t(r)]), width(step.out) * 4); });
      return;
    case StepKind::Draw:
      items(index, thread, int(forest_.draws.size()), 1, [&](int i, int) { drawRow(size_t(i), thread); });
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
      if (step.kind == StepKind::Draw && forest_.draws.empty()) continue;
      if (activeRows(step.rows) == 0) continue;
      runStep(step, int(i), thread, cache);
      barrier_.wait();
      if (profile && thread == 0) {
        auto now = std::chrono::steady_clock::now();
        timings[nameOf(step.kind)] += std::chrono::duration<double, std::milli>(now - last).count();
        last = now;
      }
    }
  };
  pool_->run(work);
}

void Model::drawRow(size_t i, int thread) {
  const DrawInput& draw = forest_.draws[i];
  DrawResult& out = drawn[i];
  const float* packed =
      reinterpret_cast<const float*>(logitsMemory_.data()) + size_t(wantedOf_[size_t(draw.row)]) * logitsStride_;
  if (draw.sampler->isPlainGreedy()) {
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
  out = draw.sampler->draw(*kernels_, byId, vocab_, draw.position, draw.extra.data(), int(draw.extra.size()),
                           draw.trial.get(), samplerScratch_[size_t(thread)], topTokens.data() + i * MAX_LOGPROBS,
                           topLogprobs.data() + i * MAX_LOGPROBS);
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
  int w = wantedIndex(row);
  if (w == NONE) fail("row " + std::to_string(row) + " was not wanted");
  memcpy(out, buffer(logitsX_) + size_t(w) * size_t(widths_[size_t(logitsX_)]), size_t(hidden_) * 4);
}

int Model::logitsLength(int row) const {
  int w = wantedIndex(row);
  if (w == NONE) fail("row " + std::to_string(row) + " was not wanted");
  return isMask(row) && draftSize_ > 0 ? draftSize_ : vocab_;
}

void Model::logits(int row, float* out) const {
  int n = logitsLength(row);
  const float* packed = reinterpret_cast<const float*>(logitsMemory_.data()) + size_t(wantedIndex(row)) * logitsStride_;
  if (order_.empty() || n < vocab_) {
    memcpy(out, packed, size_t(n) * 4);  // the draft vocabulary lies first, in its order
    return;
  }
  for (int i = 0; i < vocab_; i++) out[order_[size_t(i)]] = packed[i];
}

}  // namespace idlm
