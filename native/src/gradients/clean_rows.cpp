#include "gradients/clean_rows.h"

#include <algorithm>

namespace idlm {

CleanRows::CleanRows(const AttentionShape& shape, int firstLayer, int nLayers, size_t bytes)
    : shape_(shape), firstLayer_(firstLayer), nLayers_(nLayers), bytes_(bytes) {}

void CleanRows::drop(int64_t key) {
  CleanSequence& s = sequences_.at(key);
  free_.insert(free_.end(), s.pages.begin(), s.pages.end());
  sequences_.erase(key);
}

void CleanRows::begin(const std::vector<std::pair<int64_t, std::vector<int32_t>>>& batch, int extraPages,
                      size_t targetBytes) {
  clock_++;
  int needed = 0;
  for (auto& [key, tokens] : batch) {
    needed += pagesOf(tokens.size());
    auto found = sequences_.find(key);
    if (found == sequences_.end()) continue;
    found->second.lastUse = clock_;
    if (found->second.tokens != tokens || found->second.isNew) drop(key);
  }
  size_t perPage = shape_.pageBytes() * size_t(nLayers_) * 2;
  // Half of the bytes for K and V, half for targets and hidden states.
  int nPages = std::max(int(std::min(bytes_ / 2 / perPage, size_t(1) << 24)), needed);
  if (nPages > firstExtra_ || extraPages > memory_.nPages() - firstExtra_) {
    sequences_.clear();
    memory_ = AttentionMemory();
    memory_ = AttentionMemory(shape_, firstLayer_, nLayers_, nPages + extraPages, true);
    firstExtra_ = nPages;
    free_.clear();
    for (int i = nPages; i-- > 0;) free_.push_back(i);
  }
  auto floatsOf = [](const CleanSequence& s) {
    size_t n = s.entry.size() + s.hidden.size();
    for (auto& [row, target] : s.targets) n += target.logits.size();
    return n * 4;
  };
  size_t bytes = targetBytes;
  for (auto& [key, s] : sequences_) bytes += floatsOf(s);
  int lacking = 0;
  for (auto& [key, tokens] : batch)
    if (!sequences_.count(key)) lacking += pagesOf(tokens.size());
  while (int(free_.size()) < lacking || bytes > bytes_ / 2) {
    auto oldest = sequences_.end();
    for (auto it = sequences_.begin(); it != sequences_.end(); ++it)
      if (it->second.lastUse < clock_ && (oldest == sequences_.end() || it->second.lastUse < oldest->second.lastUse))
        oldest = it;
    if (oldest == sequences_.end()) break;
    bytes -= std::min(bytes, floatsOf(oldest->second));
    drop(oldest->first);
  }
  for (auto& [key, tokens] : batch) {
    CleanSequence& s = sequences_[key];
    s.lastUse = clock_;
    if (!s.tokens.empty()) continue;
    s.tokens = tokens;
    for (int i = pagesOf(tokens.size()); i > 0; i--) s.pages.push_back(free_.back()), free_.pop_back();
  }
}

}  // namespace idlm
