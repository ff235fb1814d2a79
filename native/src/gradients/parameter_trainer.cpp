#include "gradients/parameter_trainer.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "gradients/order.h"

namespace idlm {

namespace {

[[noreturn]] void fail(const std::string& what) { throw std::invalid_argument(what); }

}  // namespace

ParameterTrainer::ParameterTrainer(const ProgramSource& source, bool isFull, bool isExact, std::shared_ptr<Pool> pool,
                                   const KernelTable* kernels)
    : pool_(std::move(pool)), program_(source, isFull, isExact, *pool_, kernels) {
  gradients_.of.resize(program_.parameters.size());
  for (size_t i = 0; i < program_.parameters.size(); i++) {
    const ParameterSource& p = program_.parameters[i];
    if (!p.isTrainable) continue;
    trainable_.push_back(int(i));
    GradientBuffers::Buffer& buffer = gradients_.of[i];
    buffer.rows = p.rows, buffer.cols = p.cols, buffer.stride = (p.cols + PANEL - 1) / PANEL * PANEL;
    buffer.values.resize(size_t(buffer.rows) * size_t(buffer.stride));
  }
}

void ParameterTrainer::clearGradients() {
  for (int i : trainable_) {
    std::vector<float>& values = gradients_.of[size_t(i)].values;
    std::fill(values.begin(), values.end(), 0.0f);
  }
}

double ParameterTrainer::finish(const std::vector<float*>& gradients, float scale) {
  std::vector<double> squares(trainable_.size(), 0.0);
  runItems(*pool_, trainable_.size(), nullptr, [&](size_t i, int) {
    const GradientBuffers::Buffer& from = gradients_.of[size_t(trainable_[i])];
    // Several chains at a time, in an order that does not depend on the machine.
    constexpr int CHAINS = 8;
    double sums[CHAINS] = {};
    for (int r = 0; r < from.rows; r++) {
      const float* row = from.values.data() + size_t(r) * size_t(from.stride);
      float* out = gradients[i] + size_t(r) * size_t(from.cols);
      for (int c = 0; c < from.cols; c++) out[c] = row[c] * scale;
      int c = 0;
      for (; c + CHAINS <= from.cols; c += CHAINS)
        for (int j = 0; j < CHAINS; j++) sums[j] += double(out[c + j]) * double(out[c + j]);
      for (; c < from.cols; c++) sums[0] += double(out[c]) * double(out[c]);
    }
    for (double sum : sums) squares[i] += sum;
  });
  double sum = 0;
  for (double s : squares) sum += s;
  return std::sqrt(sum);
}

void ParameterTrainer::update(const std::vector<AdamWTensor>& tensors, const AdamWArgs& args) {
  std::vector<Replacement> replacements;
  for (const AdamWTensor& t : tensors) {
    auto found = std::find_if(trainable_.begin(), trainable_.end(), [&](int i) { return parameter(i).id == t.id; });
    if (found == trainable_.end() || t.length != size_t(parameter(*found).rows) * size_t(parameter(*found).cols))
      fail("parameter " + t.id + " is not trainable, or has another size");
    replacements.push_back({t.id, t.values, t.length});
  }
  runItems(*pool_, tensors.size(), nullptr, [&](size_t i, int) {
    const AdamWTensor& t = tensors[i];
    AdamWArgs own = args;
    own.weightDecay = t.weightDecay;
    program_.kernels.adamW(own, t.values, t.gradient, t.first, t.second, t.length);
  });
  replace(replacements);
}

}  // namespace idlm
