// The clean rows of sequences: what MASK rows need of them. It depends on the frozen base alone, so it is kept from
// step to step, the least recently used sequences being dropped first.
#pragma once
#include <map>
#include <memory>
#include <vector>

#include "gradients/attention_memory.h"

namespace idlm {

// The base's distribution after a clean row: p = e^(logits - largest) / sum on the draft vocabulary.
struct Target {
  std::vector<float> logits;  // [padded draft vocabulary], -infinity behind it
  float largest = 0, sum = 0;
  int best = -1;  // index in the draft vocabulary of the likeliest token; -1: it is not in there
};

struct CleanSequence {
  std::vector<int32_t> tokens;
  std::vector<int32_t> pages;
  std::vector<float> entry, hidden;  // [row][padded hidden]: entering the entry layer; after the final norm
  std::map<int, Target> targets;     // by row
  uint64_t lastUse = 0;
  bool isNew = true;
};

class CleanRows {
 public:
  // At most about `bytes` are kept, but always the sequences of one batch.
  CleanRows(const AttentionShape& shape, int firstLayer, int nLayers, size_t bytes);
  // Begins a step: makes room for these sequences and `extraPages` pages of MASK runs. Those that are not known are
  // new.
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
