// A loaded model: lowered program, workspace, heads, and the draws of a forward.
#pragma once
#include <exception>
#include <memory>
#include <vector>

#include "executor/executor.h"
#include "executor/heads.h"
#include "executor/lookahead.h"
#include "program/lowered.h"
#include "sampling/requests.h"

namespace idlm {

class Model {
 public:
  Model(std::shared_ptr<LoweredProgram> program, std::shared_ptr<Pool> pool, const KernelTable* kernels);

  const LoweredProgram& program() const { return *program_; }
  Executor& executor() { return executor_; }
  // Throws std::invalid_argument for a layout or requests that would violate memory safety; there are no results then.
  void prepare(std::vector<int32_t>&& layout, SamplingInput&& sampling, const KvCache& cache);
  // Runs the prepared forward with its draws and lookaheads.
  void forward(KvCache& cache);
  // Whether the event loop has work to do; a forward leaves it a core meanwhile.
  void setEventLoopBusy(bool isBusy) { pool_->setEventLoopBusy(isBusy); }
  void propose(std::vector<ProposalInput> requests, std::vector<Proposed>& out);
  // Number of logits that a request is decided by.
  int draftLength(ProposalKind kind) const { return heads_.draftLength(kind); }
  void draftLogits(const ProposalSource& source, float* out) { heads_.draftLogits(outputRows(), source, out); }
  void replaceParameters(const std::vector<Replacement>& values) { program_->weights.replace(values, *pool_); }

  std::vector<DrawResult> drawn;   // one per draw
  std::vector<int32_t> topTokens;  // [draw][MAX_LOGPROBS]
  std::vector<float> topLogprobs;
  bool hasLogprobs(size_t draw) const { return sampling_.draws[draw].sampler->settings.logprobs >= 0; }
  // One per lookahead.
  const std::vector<Lookaheads::Result>& lookaheads() const { return lookaheads_.results(); }

  Timings timings;  // of the last forward, if profile is on
  bool profile = false;

 private:
  OutputRows outputRows();
  void take(std::vector<int32_t>&& layout, SamplingInput&& sampling, const KvCache& cache);
  void drawRow(size_t i, int thread);
  void nextLevel(bool isFirst);

  std::shared_ptr<LoweredProgram> program_;
  std::shared_ptr<Pool> pool_;
  const KernelTable* kernels_;
  Executor executor_;
  Heads heads_;
  SamplingInput sampling_;
  std::atomic<size_t> nextDraw_{0};
  std::vector<std::vector<float>> byToken_;     // per thread: logits of a draw
  std::vector<SamplerScratch> samplerScratch_;  // per thread
  Lookaheads lookaheads_;
  std::vector<Proposed> levelAnswers_;
  bool hasLevel_ = false;
  std::exception_ptr levelFailure_;
};

}  // namespace idlm
