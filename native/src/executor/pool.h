// A pool of threads that run one function in parallel (SPMD) while the caller sleeps. The caller does not take part:
// the threads stay on their cores from one forward to the next, whereas a caller would be woken on a core where a
// thread already computes, and share it for milliseconds until the scheduler moves one of them. After a job the threads
// spin for a while, since the next forward usually follows soon, and yield their cores meanwhile.
#pragma once
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace idlm {

inline void cpuRelax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins before a waiting thread yields: some tens of microseconds. With more threads than cores, the thread that it
// waits for may need its core.
constexpr int SPINS = 2000;

// A barrier for all threads of a job.
class Barrier {
 public:
  void reset(int n) { size_ = n, arrived_.store(0, std::memory_order_relaxed); }
  void wait() {
    if (size_ == 1) return;
    uint32_t phase = phase_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
      arrived_.store(0, std::memory_order_relaxed);
      phase_.store(phase + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; phase_.load(std::memory_order_acquire) == phase;) {
      cpuRelax();
      if (++spins > SPINS) std::this_thread::yield();
    }
  }

 private:
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<uint32_t> phase_{0};
  int size_ = 1;
};

class Pool {
 public:
  explicit Pool(int threads);
  ~Pool();
  int threads() const { return n_; }
  // Runs fn(context, thread) on every thread of the pool and returns when all are done. Jobs run one at a time.
  void run(void (*fn)(void*, int), void* context);
  template <class Fn>
  void run(Fn& fn) {
    run([](void* c, int t) { (*static_cast<Fn*>(c))(t); }, &fn);
  }

 private:
  void work(int index);
  int n_;
  std::vector<std::thread> threads_;
  std::mutex jobs_;  // one job at a time
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  alignas(64) std::atomic<uint64_t> epoch_{0};
  alignas(64) std::atomic<int> running_{0};
  std::atomic<bool> stop_{false};
  void (*fn_)(void*, int) = nullptr;
  void* context_ = nullptr;
};

}  // namespace idlm
