// Parallel work on numbered items that have to reach certain points in their order.
#pragma once
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "executor/pool.h"

namespace idlm {

// Monotonic counters to wait for. A waiting thread throws if another one has failed.
class Progress {
 public:
  explicit Progress(size_t n) : counters_(std::make_unique<Counter[]>(n)) {}
  void set(size_t i, int value) { counters_[i].value.store(value, std::memory_order_release); }
  void waitFor(size_t i, int value) const {
    for (int spins = 0; counters_[i].value.load(std::memory_order_acquire) < value;) {
      if (failed_.load(std::memory_order_relaxed)) throw std::runtime_error("another thread failed");
      cpuRelax();
      if (++spins > SPINS) std::this_thread::yield();
    }
  }
  void fail() { failed_.store(true, std::memory_order_relaxed); }

 private:
  struct alignas(64) Counter {
    std::atomic<int> value{0};
  };
  std::unique_ptr<Counter[]> counters_;
  std::atomic<bool> failed_{false};
};

// Calls fn(item, thread) for each item on all threads, starting with the lowest; rethrows the first exception.
template <class Fn>
void runItems(Pool& pool, size_t n, Progress* progress, Fn fn) {
  std::atomic<size_t> next{0};
  std::mutex lock;
  std::exception_ptr first;
  auto work = [&](int thread) {
    try {
      for (size_t i = next++; i < n; i = next++) fn(i, thread);
    } catch (...) {
      next = n;
      if (progress) progress->fail();
      std::lock_guard<std::mutex> guard(lock);
      if (!first) first = std::current_exception();
    }
  };
  pool.run(work);
  if (first) std::rethrow_exception(first);
}

}  // namespace idlm
