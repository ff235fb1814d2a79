// Large zeroed allocations, on huge pages if available: a forward reads all weights once, and address translation with
// pages of 4 KiB would cost bandwidth.
#pragma once
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <new>

namespace idlm {

class Arena {
 public:
  Arena() = default;
  explicit Arena(size_t bytes) : size_((bytes + HUGE - 1) / HUGE * HUGE) {
    if (bytes == 0) size_ = HUGE;
    // Over-allocated so that the block can start on a huge page.
    mappedSize_ = size_ + HUGE;
    mapped_ = mmap(nullptr, mappedSize_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped_ == MAP_FAILED) {
      mapped_ = nullptr;
      throw std::bad_alloc();
    }
    data_ = reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(mapped_) + HUGE - 1) / HUGE * HUGE);
#if defined(MADV_HUGEPAGE)
    madvise(data_, size_, MADV_HUGEPAGE);
#endif
  }
  Arena(Arena&& other) noexcept { *this = static_cast<Arena&&>(other); }
  Arena& operator=(Arena&& other) noexcept {
    if (this == &other) return *this;
    release();
    mapped_ = other.mapped_, data_ = other.data_, size_ = other.size_, mappedSize_ = other.mappedSize_;
    other.mapped_ = nullptr, other.data_ = nullptr, other.size_ = 0;
    return *this;
  }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() { release(); }
  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  static constexpr size_t HUGE = size_t(2) << 20;
  void release() {
    if (mapped_) munmap(mapped_, mappedSize_);
    mapped_ = nullptr;
  }
  void* mapped_ = nullptr;
  uint8_t* data_ = nullptr;
  size_t size_ = 0, mappedSize_ = 0;
};

}  // namespace idlm
