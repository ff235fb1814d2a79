#include "executor/pool.h"

#include <chrono>

namespace idlm {

namespace {
// Longer than JavaScript's part of a step with many sequences; a negligible load.
constexpr auto SPIN = std::chrono::milliseconds(10);
}  // namespace

Pool::Pool(int threads) : n_(threads < 1 ? 1 : threads) {
  for (int i = 0; i < n_; i++) threads_.emplace_back([this, i] { work(i); });
}

Pool::~Pool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
    epoch_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  for (auto& t : threads_) t.join();
}

void Pool::run(void (*fn)(void*, int), void* context) {
  std::lock_guard<std::mutex> job(jobs_);
  fn_ = fn, context_ = context;
  running_.store(n_, std::memory_order_relaxed);
  std::unique_lock<std::mutex> lock(mutex_);
  epoch_.fetch_add(1, std::memory_order_release);
  wake_.notify_all();
  done_.wait(lock, [&] { return running_.load(std::memory_order_acquire) == 0; });
}

void Pool::work(int index) {
  for (uint64_t seen = 0;;) {
    auto until = std::chrono::steady_clock::now() + SPIN;
    while (epoch_.load(std::memory_order_acquire) == seen) {
      for (int i = 0; i < 32; i++) cpuRelax();
      std::this_thread::yield();
      if (std::chrono::steady_clock::now() < until) continue;
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [&] { return epoch_.load(std::memory_order_acquire) != seen; });
    }
    seen = epoch_.load(std::memory_order_acquire);
    if (stop_) return;
    fn_(context_, index);
    if (running_.fetch_sub(1, std::memory_order_acq_rel) > 1) continue;
    std::lock_guard<std::mutex> lock(mutex_);
    done_.notify_one();
  }
}

}  // namespace idlm
