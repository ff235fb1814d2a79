#include "pool.h"

#include <chrono>

namespace idlm {

namespace {
constexpr auto SPIN = std::chrono::microseconds(200);  // longer than JavaScript's part of a step, shorter than a blink
}

Pool::Pool(int threads) : n_(threads < 1 ? 1 : threads) {
  for (int i = 1; i < n_; i++) helpers_.emplace_back([this, i] { helper(i); });
}

Pool::~Pool() {
  {
    std::lock_guard<std::mutex> lock(sleep_);
    stop_ = true;
    epoch_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  for (auto& t : helpers_) t.join();
}

void Pool::run(void (*fn)(void*, int), void* context) {
  std::lock_guard<std::mutex> job(jobs_);
  if (n_ == 1) return fn(context, 0);
  fn_ = fn, context_ = context;
  running_.store(n_ - 1, std::memory_order_relaxed);
  {
    std::lock_guard<std::mutex> lock(sleep_);
    epoch_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  fn(context, 0);
  for (int spins = 0; running_.load(std::memory_order_acquire) != 0;) {
    cpuRelax();
    if (++spins > SPINS) std::this_thread::yield();
  }
}

void Pool::helper(int index) {
  uint64_t seen = 0;
  for (;;) {
    auto until = std::chrono::steady_clock::now() + SPIN;
    while (epoch_.load(std::memory_order_acquire) == seen) {
      for (int i = 0; i < 32; i++) cpuRelax();
      if (std::chrono::steady_clock::now() < until) continue;
      std::unique_lock<std::mutex> lock(sleep_);
      wake_.wait(lock, [&] { return epoch_.load(std::memory_order_acquire) != seen; });
    }
    seen = epoch_.load(std::memory_order_acquire);
    if (stop_) return;
    fn_(context_, index);
    running_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace idlm
