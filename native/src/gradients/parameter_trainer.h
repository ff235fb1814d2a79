// The trained parameters of a program: sums of their gradients, and steps of AdamW.
#pragma once
#include <memory>
#include <vector>

#include "gradients/block.h"

namespace idlm {

// Values, gradient and AdamW moments of a trainable parameter.
struct AdamWTensor {
  std::string id;
  float *values = nullptr, *first = nullptr, *second = nullptr;
  const float* gradient = nullptr;
  size_t length = 0;
  float weightDecay = 0;
};

class ParameterTrainer {
 public:
  ParameterTrainer(const ProgramSource& source, bool isFull, bool isExact, std::shared_ptr<Pool> pool,
                   const KernelTable* kernels);
  virtual ~ParameterTrainer() = default;
  void replace(const std::vector<Replacement>& replacements) { program_.replace(replacements, *pool_); }
  // An AdamW step in place; the program gets the new values.
  void update(const std::vector<AdamWTensor>& tensors, const AdamWArgs& args);
  // Trainable parameters, by index.
  const std::vector<int>& trainable() const { return trainable_; }
  const ParameterSource& parameter(int i) const { return program_.parameters[size_t(i)]; }

 protected:
  void clearGradients();
  // Writes the gradients times `scale`, in the order of `trainable`; returns their norm.
  double finish(const std::vector<float*>& gradients, float scale);

  std::shared_ptr<Pool> pool_;
  TrainingProgram program_;
  std::vector<int> trainable_;
  GradientBuffers gradients_;
};

}  // namespace idlm
