#include "executor/model.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>

namespace idlm {

namespace {

[[noreturn]] void fail(const std::string& what) { throw std::invalid_argument(what); }

}  // namespace

Model::Model(std::shared_ptr<LoweredProgram> program, std::shared_ptr<Pool> pool, const KernelTable* kernels)
    : program_(std::move(program)),
      pool_(std::move(pool)),
      kernels_(kernels),
      executor_(*program_, kernels_, pool_->threads()),
      heads_(*program_, kernels_, pool_->threads()),
      byToken_(size_t(pool_->threads())),
      samplerScratch_(size_t(pool_->threads())) {}

void Model::prepare(std::vector<int32_t>&& layout, SamplingInput&& sampling, const KvCache& cache) {
  try {
    take(std::move(layout), std::move(sampling), cache);
  } catch (...) {
    executor_.forget();
    throw;
  }
}

void Model::take(std::vector<int32_t>&& layout, SamplingInput&& sampling, const KvCache& cache) {
  heads_.forget();
  executor_.prepare(std::move(layout), cache);
  sampling_ = std::move(sampling);
  for (const DrawInput& d : sampling_.draws) {
    int output = executor_.layout().outputOf(d.row);
    if (output == NONE || output >= executor_.layout().nTokenOutputs())
      fail("a draw's row must be a token row with an output");
  }
  Lookaheads::check(sampling_.lookaheads, executor_.layout(), size_t(heads_.nExtra()));
  lookaheads_.clear();
  drawn.assign(sampling_.draws.size(), DrawResult{});
  topTokens.resize(sampling_.draws.size() * MAX_LOGPROBS);
  topLogprobs.resize(topTokens.size());
}

void Model::forward(KvCache& cache) {
  nextDraw_.store(0, std::memory_order_relaxed);
  if (profile) timings.clear();
  const uint32_t nPhases = executor_.nPhases();
  Barrier& barrier = pool_->barrier();
  auto work = [&](int thread, bool joins) {
    // The draws are one phase more; a thread that comes after them does without.
    int64_t first = joins ? barrier.join(nPhases) : 0;
    if (first < 0) return;
    executor_.run(cache, thread, barrier, first, profile ? &timings : nullptr);
    if (drawn.empty()) return;
    auto begin = std::chrono::steady_clock::now();
    for (size_t i; (i = nextDraw_.fetch_add(1, std::memory_order_relaxed)) < drawn.size();) drawRow(i, thread);
    barrier.wait();
    if (profile && thread == 0)
      timings["draw"] += std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
    if (sampling_.lookaheads.empty()) return;
    if (thread == 0) nextLevel(true);
    barrier.wait();
    while (hasLevel_) {
      heads_.run(thread, barrier);
      if (thread == 0) nextLevel(false);
      barrier.wait();
    }
  };
  pool_->runJoinable(work);
  if (levelFailure_) std::rethrow_exception(std::exchange(levelFailure_, nullptr));
}

void Model::propose(std::vector<ProposalInput> requests, std::vector<Proposed>& out) {
  heads_.propose(*pool_, outputRows(), std::move(requests), out);
}

void Model::drawRow(size_t i, int thread) {
  const DrawInput& draw = sampling_.draws[i];
  DrawResult& out = drawn[i];
  const std::vector<int32_t>& order = program_->weights.base().order;
  const float* packed = executor_.packedLogits(executor_.outputOf(draw.row));
  const int vocab = program_->vocab;
  if (draw.sampler->isArgmax(draw.place())) {
    if (!kernels_->argmax(packed, vocab, order.empty() ? nullptr : order.data(), &out.token)) out.status = 1;
    return;
  }
  const float* byToken = packed;
  if (!order.empty()) {
    std::vector<float>& row = byToken_[size_t(thread)];
    if (row.size() < size_t(vocab)) row.resize(size_t(vocab));
    executor_.logits(draw.row, row.data());
    byToken = row.data();
  }
  out = draw.sampler->draw(*kernels_, byToken, vocab, draw.place(), draw.trial.get(), samplerScratch_[size_t(thread)],
                           topTokens.data() + i * MAX_LOGPROBS, topLogprobs.data() + i * MAX_LOGPROBS);
}

OutputRows Model::outputRows() {
  const ForestLayout& layout = executor_.layout();
  OutputRows rows;
  rows.hidden = executor_.hiddenStates(), rows.hiddenStride = executor_.hiddenStride();
  rows.logits = executor_.packedLogits(0), rows.logitsStride = executor_.memory().logitsStride;
  rows.maxima = executor_.memory().logitMaxima.data(), rows.maximaStride = size_t(program_->output.panels());
  rows.n = layout.nOutputs(), rows.nTokens = layout.nTokenOutputs();
  rows.outputOf = layout.outputOf(), rows.nRows = layout.nRows();
  return rows;
}

// Starts the next level of the lookaheads, if there is one, while the other threads wait. An exception is rethrown
// after all threads are done.
void Model::nextLevel(bool isFirst) {
  hasLevel_ = false;
  try {
    if (isFirst) lookaheads_.start(sampling_, drawn);
    std::vector<ProposalInput> requests = lookaheads_.nextLevel(levelAnswers_);
    if (requests.empty()) return;
    heads_.begin(outputRows(), std::move(requests), levelAnswers_);
    hasLevel_ = true;
  } catch (...) {
    levelFailure_ = std::current_exception();
  }
}

}  // namespace idlm
