// Memory of forwards, which grows when needed and is reused.
#pragma once
#include <atomic>
#include <memory>
#include <vector>

#include "executor/arena.h"
#include "program/lowered.h"

namespace idlm {

class Workspace {
 public:
  Workspace(const LoweredProgram& program, int threads);
  // Allocates memory for this many rows, outputs and positions of a sequence.
  void reserve(int rows, int outputs, int positions);
  void begin();  // Resets the item counters before a forward.

  float* floats(const Buffer& b) const {
    return reinterpret_cast<float*>(buffers_.data()) + b.offset * size_t(capacity_);
  }
  uint8_t* quantised(const Buffer& b) const { return quantised_.data() + b.quantisedOffset * size_t(capacity_); }
  float* logits(int output) const { return reinterpret_cast<float*>(logits_.data()) + size_t(output) * logitsStride; }
  // Next item of a thread's share of a step.
  std::atomic<int>& counter(int step, int owner) {
    return counters_[(size_t(step) * size_t(threads_) + size_t(owner)) * 16];
  }

  size_t logitsStride = 0;
  Arena t;                         // A x of gated rows
  std::vector<float> lowRank;      // the same before quantisation
  std::vector<float> logitMaxima;  // [MASK output][panel of the draft output]
  std::vector<float> cosine, sine;
  std::vector<std::vector<float>> attention;  // scratch of each thread
  int scoreStride = 0;
  std::atomic<int> lowRankDone[MAX_PARTS] = {};

 private:
  const LoweredProgram& program_;
  int threads_, capacity_ = 0, outputCapacity_ = 0;
  Arena buffers_, quantised_, logits_;
  std::unique_ptr<std::atomic<int>[]> counters_;
};

}  // namespace idlm
