#include "executor/heads.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>

#include "program/pack.h"

namespace idlm {

namespace {

// Panels that a thread takes at a time.
constexpr int CHUNK = 4;

int padded(int n) { return (n + PANEL - 1) / PANEL * PANEL; }
int chunks(int panels) { return (panels + CHUNK - 1) / CHUNK; }

Purpose purposeOf(ProposalKind kind) {
  return kind == ProposalKind::Mask   ? Purpose::Proposal
         : kind == ProposalKind::Head ? Purpose::ExtraHead
                                      : Purpose::Draft;
}

}  // namespace

void Heads::Activations::resize(int rows, int columns) {
  cols = columns;
  stride = size_t(padded(columns)), quantisedStride = Quantised::stride(columns);
  if (floats.size() < stride * size_t(rows)) floats.resize(stride * size_t(rows));
  if (quantised.size() < quantisedStride * size_t(rows)) quantised.resize(quantisedStride * size_t(rows));
}

Heads::Heads(const LoweredProgram& program, const KernelTable* kernels, int threads)
    : program_(program),
      draft_(program.weights.draft()),
      sampler_(program.samplerHead),
      extra_(program.extraHeads),
      kernels_(kernels),
      headStride_(size_t(padded(draft_.size))),
      scratch_(size_t(threads)) {}

const int32_t* Heads::tokensOf(ProposalKind kind) const {
  if (kind != ProposalKind::Token) return draft_.tokens;
  const std::vector<int32_t>& order = program_.weights.base().order;
  return order.empty() ? nullptr : order.data();
}

void Heads::propose(Pool& pool, const OutputRows& rows, std::vector<ProposalInput> requests,
                    std::vector<Proposed>& out) {
  begin(rows, std::move(requests), out);
  auto work = [&](int thread) { run(thread, pool.barrier()); };
  pool.run(work);
}

void Heads::check(const ProposalSource& source, int output) const {
  auto fail = [](const std::string& what) { throw std::invalid_argument(what); };
  if (output < 0) fail("row " + std::to_string(source.row) + " has no output");
  bool isMask = output >= rows_.nTokens;
  if (isMask != (source.kind == ProposalKind::Mask))
    fail("row " + std::to_string(source.row) + (isMask ? " is a MASK row" : " is not a MASK row"));
  if (source.previous < 0 || source.previous >= program_.vocab)
    fail("token " + std::to_string(source.previous) + " is not in the vocabulary");
  if (source.kind == ProposalKind::Head && (source.head < 0 || size_t(source.head) >= extra_.size()))
    fail("there is no extra head " + std::to_string(source.head));
}

void Heads::begin(const OutputRows& rows, std::vector<ProposalInput> requests, std::vector<Proposed>& out) {
  rows_ = rows;
  for (const ProposalInput& request : requests) check(request.source, rows_.find(request.source.row));
  requests_ = std::move(requests);
  out_ = &out;
  try {
    plan();
  } catch (...) {
    // Rows listed by a failed call have no logits.
    forget();
    throw;
  }
  for (Counter& counter : counters_) counter.next.store(0, std::memory_order_relaxed);
}

// Lists the products that the requests need, and allocates memory for them.
void Heads::plan() {
  out_->resize(requests_.size());
  if (work_.size() < requests_.size()) work_.resize(requests_.size());
  nSamplerRows_ = 0;
  firstNew_ = int(headRows_.size());
  samplerOutputs_.clear();
  for (size_t i = 0; i < requests_.size(); i++) {
    const ProposalSource& source = requests_[i].source;
    Work& work = work_[i];
    work.output = rows_.find(source.row);
    work.samplerRow = work.headRow = -1;
    work.panels.clear();
    if (source.kind == ProposalKind::Head) addHeadRow(work.output, source.head);
    if (source.kind != ProposalKind::Mask) continue;
    // The last panel may have rows beyond the vocabulary, or beyond the draft vocabulary, which are ignored.
    int n = draft_.size;
    if (n % PANEL != 0) {
      const float* logits = rows_.logits + size_t(work.output) * rows_.logitsStride;
      float* maxima = rows_.maxima + size_t(work.output - rows_.nTokens) * rows_.maximaStride;
      kernels_->blockMaxima(logits + n / PANEL * PANEL, n % PANEL, maxima + n / PANEL);
    }
    if (!hasSampler()) continue;
    work.samplerRow = nSamplerRows_++;
    samplerOutputs_.push_back(work.output);
  }
  if (nSamplerRows_ > 0) {
    joined_.resize(nSamplerRows_, 2 * program_.hidden);
    inner_.resize(nSamplerRows_, program_.hidden);
    after_.resize(nSamplerRows_, program_.hidden);
  }
  groupByHead();
  reserveHeadRows();
  for (size_t i = 0; i < requests_.size(); i++) {
    const ProposalSource& source = requests_[i].source;
    if (source.kind == ProposalKind::Head) work_[i].headRow = headRowOf(work_[i].output, source.head);
  }
}

template <class Fn>
void Heads::items(int phase, int n, Fn fn) {
  std::atomic<int>& next = counters_[phase].next;
  for (int i = next.fetch_add(1, std::memory_order_relaxed); i < n; i = next.fetch_add(1, std::memory_order_relaxed))
    fn(i);
}

void Heads::run(int thread, Barrier& barrier) {
  int n = int(requests_.size()), nNew = int(headRows_.size()) - firstNew_;
  int hiddenPanels = (program_.hidden + PANEL - 1) / PANEL, each = chunks(hiddenPanels);
  Scratch& s = scratch_[size_t(thread)];
  auto isReady = [&](const Work& work) { return work.headRow < firstNew_; };
  auto range = [](int chunk, int panels, auto fn) { fn(chunk * CHUNK, std::min(panels, (chunk + 1) * CHUNK)); };
  if (nSamplerRows_ + nNew > 0) {
    items(0, n + nNew, [&](int i) {
      if (i >= n) return beginHead(i - n, newHeadRow(i - n));
      if (work_[size_t(i)].samplerRow < 0) return;
      joinSampler(work_[size_t(i)].samplerRow, work_[size_t(i)].output, requests_[size_t(i)].source.previous, s);
    });
    barrier.wait();
  }
  // The long tasks first: shortlists alongside the first products.
  int nFirst = nSamplerRows_ > 0 ? each : 0;
  int nGroups = int(groups_.size()) - 1;
  items(1, n + nFirst + nGroups * each, [&](int i) {
    if (i < n) {
      if (isReady(work_[size_t(i)])) makeShortlist(requests_[size_t(i)], work_[size_t(i)], s);
    } else if (i < n + nFirst) {
      range(i - n, hiddenPanels, [&](int begin, int end) {
        product(sampler_.first, joined_, 0, nSamplerRows_, inner_.floats.data(), inner_.stride, begin, end);
      });
    } else {
      int item = i - n - nFirst;
      int from = groups_[size_t(item / each)], to = groups_[size_t(item / each) + 1];
      const ExtraHead& head = headOf(headRows_[size_t(from)]);
      range(item % each, hiddenPanels,
            [&](int begin, int end) { headProduct(head, from - firstNew_, to - from, begin, end); });
    }
  });
  barrier.wait();
  if (nSamplerRows_ + nNew > 0) {
    items(2, nSamplerRows_ + nNew, [&](int i) {
      if (i < nSamplerRows_) return activateSampler(i);
      endHead(i - nSamplerRows_, newHeadRow(i - nSamplerRows_));
    });
    barrier.wait();
    const Matrix& draft = draft_.matrix;
    items(3, nFirst + (nNew > 0 ? chunks(draft.panels()) : 0), [&](int i) {
      if (i < nFirst) {
        range(i, hiddenPanels, [&](int begin, int end) {
          product(sampler_.second, inner_, 0, nSamplerRows_, after_.floats.data(), after_.stride, begin, end);
        });
      } else {
        range(i - nFirst, draft.panels(), [&](int begin, int end) {
          product(draft, extraAfter_, 0, nNew, headLogits(firstNew_), headStride_, begin, end);
        });
      }
    });
    barrier.wait();
    items(4, 1 + nSamplerRows_ + (nNew > 0 ? n : 0), [&](int i) {
      if (i == 0) return planPanels();
      if (i <= nSamplerRows_) return endSampler(i - 1, samplerOutputs_[size_t(i - 1)]);
      size_t at = size_t(i - 1 - nSamplerRows_);
      if (!isReady(work_[at])) makeShortlist(requests_[at], work_[at], s);
    });
    barrier.wait();
  }
  if (nSamplerRows_ > 0) {
    items(5, chunks(int(panelList_.size())), [&](int i) {
      range(i, int(panelList_.size()), [&](int begin, int end) {
        for (int panel = begin; panel < end; panel++) panelProduct(panel);
      });
    });
    barrier.wait();
  }
  items(6, n, [&](int i) { answer(requests_[size_t(i)], work_[size_t(i)], s, (*out_)[size_t(i)]); });
  barrier.wait();
}

void Heads::addHeadRow(int output, int head) {
  if (headRowOf_.empty()) headRowOf_.assign(size_t(rows_.n) * extra_.size(), -1);
  if (headRowOf(output, head) >= 0) return;
  headRows_.push_back({output, head});
  headRowOf(output, head) = int(headRows_.size()) - 1;
}

// Sorts the new rows by head, so that each head's weights are read once.
void Heads::groupByHead() {
  std::sort(headRows_.begin() + firstNew_, headRows_.end(), [](const HeadRow& a, const HeadRow& b) {
    return a.head != b.head ? a.head < b.head : a.output < b.output;
  });
  groups_.assign(1, firstNew_);
  int n = int(headRows_.size());
  for (int i = firstNew_; i < n; i++) {
    const HeadRow& row = headRows_[size_t(i)];
    headRowOf(row.output, row.head) = i;
    if (i + 1 == n || headRows_[size_t(i) + 1].head != row.head) groups_.push_back(i + 1);
  }
}

void Heads::reserveHeadRows() {
  int nNew = int(headRows_.size()) - firstNew_;
  if (nNew == 0) return;
  extraHidden_.resize(nNew, program_.hidden);
  extraAfter_.resize(nNew, program_.hidden);
  if (headLogits_.size() < headRows_.size() * headStride_) headLogits_.resize(headRows_.size() * headStride_);
}

void Heads::quantiseFor(const Matrix& reader, Activations& x, int row) const {
  if (isInteger(reader.format))
    kernels_->quantise(x.row(row), x.cols, x.quantised.data() + size_t(row) * x.quantisedStride);
}

// Rows of x times panels [begin, end) of a matrix.
void Heads::product(const Matrix& m, const Activations& x, int firstRow, int nRows, float* out, size_t outStride,
                    int begin, int end) const {
  LinearPart part;
  part.weight = m, part.out = out, part.outStride = outStride;
  LinearArgs a;
  a.parts = &part, a.nParts = 1, a.nRows = nRows;
  bool integer = isInteger(m.format);
  a.xStride = integer ? x.quantisedStride : x.stride * sizeof(float);
  a.x =
      (integer ? x.quantised.data() : reinterpret_cast<const uint8_t*>(x.floats.data())) + size_t(firstRow) * a.xStride;
  kernels_->linear(a, begin, end);
}

// The sampler head: h' = h + second silu(first [h; e]), e the normalised embedding of the token before the predicted
// one.
void Heads::joinSampler(int row, int output, int previous, Scratch& s) {
  size_t n = size_t(program_.hidden);
  if (s.scores.size() < size_t(padded(program_.hidden))) s.scores.resize(size_t(padded(program_.hidden)));
  float* e = s.scores.data();
  unpackRow(program_.embedding, program_.embeddingIsOutput ? program_.rowOf(previous) : previous, e);
  kernels_->rmsnorm(e, nullptr, program_.hidden, sampler_.epsilon, e);
  float* out = joined_.row(row);
  memcpy(out, hiddenOf(output), n * sizeof(float));
  memcpy(out + n, e, n * sizeof(float));
  quantiseFor(sampler_.first, joined_, row);
}

void Heads::activateSampler(int row) {
  kernels_->silu(inner_.row(row), padded(program_.hidden));
  quantiseFor(sampler_.second, inner_, row);
}

void Heads::endSampler(int row, int output) {
  kernels_->add(after_.row(row), hiddenOf(output), program_.hidden);
  quantiseFor(draft_.matrix, after_, row);
}

// An extra head: h + silu(weight h + bias).
void Heads::beginHead(int row, const HeadRow& at) {
  memcpy(extraHidden_.row(row), hiddenOf(at.output), size_t(program_.hidden) * sizeof(float));
  quantiseFor(headOf(at).weight, extraHidden_, row);
}

void Heads::headProduct(const ExtraHead& head, int firstRow, int n, int begin, int end) {
  product(head.weight, extraHidden_, firstRow, n, extraAfter_.row(firstRow), extraAfter_.stride, begin, end);
}

void Heads::endHead(int row, const HeadRow& at) {
  float* out = extraAfter_.row(row);
  kernels_->add(out, headOf(at).bias, program_.hidden);
  kernels_->silu(out, padded(program_.hidden));
  kernels_->add(out, hiddenOf(at.output), program_.hidden);
  quantiseFor(draft_.matrix, extraAfter_, row);
}

void Heads::answer(const ProposalInput& request, Work& work, Scratch& s, Proposed& out) {
  std::vector<int32_t>& shortlist = work.shortlist;
  work.logits.resize(shortlist.size());
  if (work.samplerRow >= 0) {
    size_t panel = 0;
    for (size_t i = 0; i < shortlist.size(); i++) {
      while (work.panels[panel] != shortlist[i] / PANEL) panel++;
      work.logits[i] = panelLogits_[size_t(work.entries[panel]) * PANEL + size_t(shortlist[i] % PANEL)];
    }
  } else {
    const float* logits = ownLogits(work);
    for (size_t i = 0; i < shortlist.size(); i++) work.logits[i] = logits[shortlist[i]];
  }
  if (const int32_t* tokens = tokensOf(request.source.kind))
    for (int32_t& i : shortlist) i = tokens[i];
  request.sampler->propose(*kernels_, work.logits.data(), shortlist.data(), int(shortlist.size()), request.place(),
                           request.count, request.forRejection, purposeOf(request.source.kind), out, s.sampler);
}

void Heads::draftLogits(const OutputRows& rows, const ProposalSource& source, float* out) {
  const ProposalKind kind = source.kind;
  rows_ = rows;
  int output = rows_.find(source.row), n = draftLength(kind), hiddenPanels = (program_.hidden + PANEL - 1) / PANEL;
  check(source, output);
  const Matrix& draft = draft_.matrix;
  const float* found = rows_.logits + size_t(output) * rows_.logitsStride;
  std::vector<float> logits;
  if (kind == ProposalKind::Head) {
    HeadRow at{output, source.head};
    extraHidden_.resize(1, program_.hidden), extraAfter_.resize(1, program_.hidden);
    beginHead(0, at), headProduct(headOf(at), 0, 1, 0, hiddenPanels), endHead(0, at);
    logits.resize(headStride_);
    product(draft, extraAfter_, 0, 1, logits.data(), headStride_, 0, draft.panels());
    found = logits.data();
  } else if (kind == ProposalKind::Mask && hasSampler()) {
    joined_.resize(1, 2 * program_.hidden), inner_.resize(1, program_.hidden), after_.resize(1, program_.hidden);
    joinSampler(0, output, source.previous, scratch_[0]);
    product(sampler_.first, joined_, 0, 1, inner_.floats.data(), inner_.stride, 0, hiddenPanels);
    activateSampler(0);
    product(sampler_.second, inner_, 0, 1, after_.floats.data(), after_.stride, 0, hiddenPanels);
    endSampler(0, output);
    logits.resize(size_t(draft.panels()) * PANEL);
    product(draft, after_, 0, 1, logits.data(), logits.size(), 0, draft.panels());
    found = logits.data();
  }
  // By token, except for a draft vocabulary, which has its own order.
  const int32_t* tokens = n == program_.vocab ? tokensOf(kind) : nullptr;
  for (int i = 0; i < n; i++) out[tokens ? tokens[i] : i] = found[i];
}

}  // namespace idlm
