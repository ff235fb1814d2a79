// Runs the steps of a program for a forest's layout, with a KV cache, and returns hidden states and logits.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "executor/pool.h"
#include "executor/run.h"

namespace idlm {

// Milliseconds of a forward by kind of step.
using Timings = std::map<std::string, double>;

class Executor {
 public:
  Executor(const LoweredProgram& program, const KernelTable* kernels, int threads);

  std::shared_ptr<KvCache> createCache(int nPages) const;
  // Throws std::invalid_argument unless the numbers are a layout.
  void prepare(std::vector<int32_t>&& layout, const KvCache& cache);
  // Drops the results of the last forward.
  void forget() { rows_.clear(); }
  // Runs one thread's share of all steps from a phase of the barrier on, which all threads share. Thread 0 adds its
  // times to `timings` unless null.
  void run(KvCache& cache, int thread, Barrier& barrier, int64_t firstPhase, Timings* timings);
  // Phases that the steps take.
  uint32_t nPhases() const;
  // Copies K and V between slots of a sequence.
  void moveKv(KvCache& cache, const std::vector<int32_t>& pages, const std::vector<int32_t>& from,
              const std::vector<int32_t>& to) const;

  // Results of the last forward, by forest row; std::invalid_argument for a row without output.
  void hidden(int row, float* out) const;
  int logitsLength(int row) const;
  // By token; MASK rows in the order of the draft vocabulary.
  void logits(int row, float* out) const;
  int outputOf(int row) const;
  // By output: token rows in the order of the output matrix, MASK rows in that of the draft vocabulary.
  const float* packedLogits(int output) const { return memory_.logits(output); }
  const float* hiddenStates() const;
  size_t hiddenStride() const;
  // Values kept with LoweringOptions::keepsValues.
  int valueWidth(const std::string& id) const;
  void value(const std::string& id, int row, float* out) const;

  const ForestLayout& layout() const { return rows_.layout(); }
  Workspace& memory() { return memory_; }

 private:
  void checkCache(const KvCache& cache) const;
  bool hasRows(const Step& step) const;
  int valueIndex(const std::string& id) const;

  const LoweredProgram& program_;
  const KernelTable* kernels_;
  int threads_;
  ForwardRows rows_;
  Workspace memory_;
};

}  // namespace idlm
