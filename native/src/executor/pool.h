// A pool of threads that run one function in parallel (SPMD) while the caller sleeps. The caller does not take part:
// the threads stay on their cores from one forward to the next, whereas a caller would be woken on a core where a
// thread already computes, and share it for milliseconds until the scheduler moves one of them. After a job the threads
// spin for a while, since the next forward usually follows soon, and yield their cores meanwhile.
//
// With a thread for each core, an event loop that goes on working while a job runs takes the core of one of the
// threads, and the others wait for it at the next barrier: all of them lose the time that the event loop takes. So the
// last thread of a job that allows it sleeps until the event loop has nothing left to do, and joins the others then.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
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

// A barrier for all threads of a job. Its phases are counted from 0; a thread that was not among the first ones may
// join.
class Barrier {
 public:
  void reset(int threads) {
    state_.store(uint64_t(threads) * MEMBER, std::memory_order_relaxed);
    phase_.store(0, std::memory_order_relaxed);
  }
  void wait() {
    uint64_t before = state_.fetch_add(1, std::memory_order_acq_rel);
    uint32_t phase = phaseOf(before);
    if (arrivedOf(before) + 1 == membersOf(before)) {
      // Nobody joins where all have arrived, so that the number of members is still the same.
      state_.fetch_add(PHASE - membersOf(before), std::memory_order_acq_rel);
      phase_.store(phase + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; phase_.load(std::memory_order_acquire) <= phase;) {
      cpuRelax();
      if (++spins > SPINS) std::this_thread::yield();
    }
  }
  // Makes the calling thread a member, for which the others wait from the present phase on. Returns that phase; −1 if
  // it is after `last`: then the thread is no member.
  int64_t join(uint32_t last) {
    for (uint64_t state = state_.load(std::memory_order_acquire);;) {
      if (phaseOf(state) > last) return -1;
      if (arrivedOf(state) == membersOf(state)) {  // on the way to the next phase
        cpuRelax();
        state = state_.load(std::memory_order_acquire);
      } else if (state_.compare_exchange_weak(state, state + MEMBER, std::memory_order_acq_rel)) {
        return phaseOf(state);
      }
    }
  }

 private:
  static constexpr uint64_t MEMBER = uint64_t(1) << 16, PHASE = uint64_t(1) << 32;
  static uint32_t phaseOf(uint64_t state) { return uint32_t(state >> 32); }
  static uint64_t membersOf(uint64_t state) { return (state >> 16) & 0xffff; }
  static uint64_t arrivedOf(uint64_t state) { return state & 0xffff; }

  alignas(64) std::atomic<uint64_t> state_{0};  // phase, members, and how many of them have arrived
  alignas(64) std::atomic<uint32_t> phase_{0};  // what threads wait for, away from the others' arrivals
};

class Pool {
 public:
  // `isJoinable`: whether last threads may sleep; false where a core is left for the event loop.
  Pool(int threads, bool isJoinable);
  explicit Pool(int threads);
  ~Pool();
  int threads() const { return n_; }
  // Runs fn(context, thread, whether it joins) on every thread of the pool and returns when all are done. Jobs run one
  // at a time. `mayJoin`: the last thread may come later than the others, or not at all; it has to join the barrier.
  void run(void (*fn)(void*, int, bool), void* context, bool mayJoin);
  // Calls fn(thread).
  template <class Fn>
  void run(Fn& fn) {
    run([](void* c, int t, bool) { (*static_cast<Fn*>(c))(t); }, &fn, false);
  }
  // Calls fn(thread, whether it joins).
  template <class Fn>
  void runJoinable(Fn& fn) {
    run([](void* c, int t, bool joins) { (*static_cast<Fn*>(c))(t, joins); }, &fn, true);
  }
  // Of the running job.
  Barrier& barrier() { return barrier_; }
  // Whether the event loop that jobs come from has work to do; any thread.
  void setEventLoopBusy(bool isBusy);

 private:
  void work(int index);
  bool takesPart(uint64_t job, bool& joins);
  const int n_;
  const bool isJoinable_;
  std::vector<std::thread> threads_;
  std::mutex jobs_;  // one job at a time
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  alignas(64) std::atomic<uint64_t> epoch_{0};
  alignas(64) std::atomic<int> running_{0};
  std::atomic<bool> stop_{false};
  bool isEventLoopBusy_ = false, lastSleeps_ = false;  // guarded by mutex_
  int freeCore_ = -1;                                  // where the event loop became idle; guarded by mutex_
  void (*fn_)(void*, int, bool) = nullptr;
  void* context_ = nullptr;
  Barrier barrier_;
};

}  // namespace idlm
