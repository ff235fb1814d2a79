// Cache of the sequences' clean rows: their keys, values and target distributions. They depend only on the frozen base,
// so they are kept between steps; the least recently used sequences are evicted first.
#pragma once
#include <map>
#include <memory>
#include <vector>

#include "gradients/attention_memory.h"

namespace idlm {

// The base's distribution after a clean row: p = e^(logits - largest) / sum on the draft vocabulary.
struct Target {
  std::vector<float> logits;  // [padded draft vocabulary], padding is -infinity
  float largest = 0, sum = 0;
  int best = -1;  // index of the most likely token in the draft vocabulary; -1: it is not part of it
};

struct CleanSequence {
  std::vector<int32_t> tokens;
  std::vector<int32_t> pages;
  std::vector<float> entry, hidden;  // [row][padded hidden]: input of the entry layer; output of the final norm
  std::map<int, Target> targets;     // by row
  uint64_t lastUse = 0;
  bool isNew = true;
};

class CleanRows {
 public:
  // Keeps about `bytes` at most, but always the sequences of the current batch.
  CleanRows(const AttentionShape& shape, int firstLayer, int nLayers, size_t bytes);
  // Begins a step: makes room for these sequences and for `extraPages` pages of MASK runs, and adds the sequences that
  // are not cached.
  void begin(const std::vector<std::pair<int64_t, std::vector<int32_t>>>& batch, int extraPages, size_t targetBytes);
  CleanSequence& at(int64_t key) { return sequences_.at(key); }
  const AttentionMemory& memory() const { return memory_; }
  int firstExtraPage() const { return firstExtra_; }

 private:
  int pagesOf(size_t nTokens) const { return int((nTokens + PAGE - 1) / PAGE); }
  void drop(int64_t key);

  AttentionShape shape_;
  int firstLayer_, nLayers_, firstExtra_ = 0;
  size_t bytes_, targetBytes_ = 0;
  uint64_t clock_ = 0;
  std::map<int64_t, CleanSequence> sequences_;
  std::vector<int32_t> free_;
  AttentionMemory memory_;
};

}  // namespace idlm
