// What training steps only read: plans, packed weights, kernels.
#pragma once
#include <memory>

#include "gradients/attention_memory.h"
#include "gradients/plan.h"
#include "gradients/transposed.h"
#include "program/weights.h"

namespace idlm {

struct TrainingProgram {
  // `isFull`: for training of all weights, with the plan `gradient` only.
  TrainingProgram(const ProgramSource& source, bool isFull, bool isExact, Pool& pool, const KernelTable* kernels);

  const KernelTable& kernels;
  bool isFull;
  Plan clean, loss, gradient;
  Weights weights;
  AttentionShape attention;
  int nLayers = 0, entryLayer = 0, hidden = 0, vocab = 0, nDepths = 0, draftSize = 0;
  std::vector<double> inverseFrequencies;
  double attentionFactor = 1;
  std::vector<ParameterSource> parameters;  // without bytes
  std::unique_ptr<TransposedWeights> transposed;

  int paddedDraft() const { return (draftSize + PANEL - 1) / PANEL * PANEL; }
  // Replaces trainable parameters, while no step is running.
  void replace(const std::vector<Replacement>& replacements, Pool& pool);
};

}  // namespace idlm
