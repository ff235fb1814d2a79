// First-fit allocator of the columns of a block's memory; free neighbours are merged.
#pragma once
#include <cstddef>
#include <map>

namespace idlm {

class Columns {
 public:
  size_t take(int width) {
    size_t n = size_t(width);
    for (auto it = free_.begin(); it != free_.end(); ++it) {
      auto [at, length] = *it;
      if (length < n) continue;
      free_.erase(it);
      if (length > n) free_[at + n] = length - n;
      return at;
    }
    size_t at = size_;
    size_ += n;
    return at;
  }

  void release(size_t at, int width) {
    auto it = free_.emplace(at, size_t(width)).first;
    auto next = std::next(it);
    if (next != free_.end() && it->first + it->second == next->first) it->second += next->second, free_.erase(next);
    if (it == free_.begin()) return;
    auto before = std::prev(it);
    if (before->first + before->second == it->first) before->second += it->second, free_.erase(it);
  }

  size_t size() const { return size_; }

 private:
  std::map<size_t, size_t> free_;
  size_t size_ = 0;
};

}  // namespace idlm
