// A step of gated training (src/compute/gradients/gated-step.ts): clean rows once per sequence, then MASK rows in
// blocks of whole runs, each run forward and backward by one thread. Parameter gradients are summed in the order of
// rows, so that the bits do not depend on threads or blocks.
#pragma once
#include <atomic>
#include <memory>
#include <vector>

#include "gradients/parameter_trainer.h"

namespace idlm {

struct GatedSequenceInput {
  int64_t key = 0;
  std::vector<int32_t> tokens, anchors;
};

struct GatedBatchInput {
  std::vector<GatedSequenceInput> sequences;
  int nMasks = 0;
  float kl = 0, tv = 0, logOverlap = 0;
  std::vector<float> depthWeights;
  bool firstMiss = false, wantsGradients = false;
};

// One entry per MASK row, ordered by sequence, anchor and depth.
struct GatedStepResult {
  double loss = 0;
  double gradientNorm = 0;  // over all parameters
  std::vector<float> rowLosses, overlap;
  std::vector<int32_t> targetRank, textRank;
  int notFinite = -1;  // position of the first row whose loss is not finite
};

class GatedTrainer : public ParameterTrainer {
 public:
  struct Options {
    size_t cacheBytes = 0;  // of the cache of clean rows
    bool isExact = false;   // float32 products with frozen weights in the backward, whatever their type
  };
  GatedTrainer(const ProgramSource& source, std::shared_ptr<Pool> pool, const KernelTable* kernels,
               const Options& options);
  ~GatedTrainer() override;
  // `gradients`: memory of each trainable parameter, [rows * cols], in the order of `trainable`; written if requested.
  GatedStepResult step(const GatedBatchInput& batch, const std::vector<float*>& gradients);

 private:
  struct Run;
  struct Rows;
  struct Thread;
  void check(const GatedBatchInput& batch) const;
  void computeClean(const GatedBatchInput& batch);
  void computeTargets(const Rows& rows);
  void computeBlocks(const GatedBatchInput& batch, const Rows& rows, GatedStepResult& result);
  void lossOf(Block& block, const GatedBatchInput& batch, int firstRow, Thread& thread, GatedStepResult& result);
  // Index of a token in the draft vocabulary; -1: it is not part of it.
  int draftIndex(int token) const;

  CleanRows clean_;
  std::vector<std::unique_ptr<Thread>> threads_;
};

}  // namespace idlm
