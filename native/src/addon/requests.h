// Converts requests and results of forwards and proposals (src/compute/native/requests.ts packs the numbers).
#pragma once
#include <vector>

#include "addon/values.h"
#include "executor/model.h"

namespace idlm {

// Objects that packed requests refer to. Arguments from `first`: samplers, token masks, and with `hasTrials` trials;
// masks and trials may be undefined.
RequestObjects readObjects(const Arguments& arguments, size_t first, bool hasTrials);

// For each request: [tokens, size of their distribution or -1, ids of both], and their probabilities.
struct PackedProposals {
  std::vector<int32_t> numbers;
  std::vector<float> shares;
  void add(const Proposed& proposed);
};

// PackedProposals in binding.ts.
Napi::Value proposalsOf(Napi::Env env, const PackedProposals& packed);
// NativeResults in binding.ts, of the last forward.
Napi::Value resultsOf(Napi::Env env, const Model& model);

}  // namespace idlm
