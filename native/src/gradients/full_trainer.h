// A step of full training (src/compute/gradients/full-step.ts): each sequence, with its MASK runs, is one block that
// one thread runs forward and backward. Parameter gradients are summed in the order of sequences, so that the bits do
// not depend on threads.
#pragma once
#include <memory>
#include <vector>

#include "gradients/parameter_trainer.h"

namespace idlm {

// Rows of a sequence: the chain of its clean tokens, then MASK runs, each after a clean row (or none, at position 0).
struct FullSequenceInput {
  std::vector<int32_t> tokens, positions, parents;  // parent -1: none
  std::vector<int32_t> targetRows, targets;         // rows with a target, and the token that they predict
  int nClean = 0, nNoisy = 0;                       // clean rows; targets of MASK rows, which come first
};

struct FullBatchInput {
  std::vector<FullSequenceInput> sequences;
  float alpha = 0;
  bool isAuto = false;  // alpha is the noisy rows' loss / the clean rows'
  bool wantsGradients = false;
};

// One entry per target, in order.
struct FullStepResult {
  double loss = 0, noisyLoss = 0, cleanLoss = 0, gradientNorm = 0;
  std::vector<float> rowLosses;
  std::vector<int32_t> ranks;  // tokens of the vocabulary before the target
  int notFinite = -1;          // position of the first row whose loss is not finite
};

class FullTrainer : public ParameterTrainer {
 public:
  FullTrainer(const ProgramSource& source, std::shared_ptr<Pool> pool, const KernelTable* kernels);
  ~FullTrainer() override;
  // `gradients`: memory of each trainable parameter, [rows * cols], in the order of `trainable`; written if requested.
  FullStepResult step(const FullBatchInput& batch, const std::vector<float*>& gradients);

 private:
  struct Thread;
  void check(const FullBatchInput& batch) const;
  void compute(const FullBatchInput& batch, float alpha, bool wantsGradients, FullStepResult& result);
  // Logits and losses of a block's targets; their gradients, if requested.
  void lossOf(Block& block, const FullSequenceInput& sequence, size_t firstTarget, float noisyWeight, float cleanWeight,
              bool wantsGradients, const InOrder& inOrder, Thread& thread, FullStepResult& result);

  // Of the output matrix, if it is the embedding's, too: both are added in the order of sequences.
  GradientBuffers::Buffer tiedOutput_;
  int output_ = NONE;
  std::vector<std::unique_ptr<Thread>> threads_;
};

}  // namespace idlm
