#include "executor/pool.h"

#include <chrono>

#ifdef __linux__
#include <pthread.h>
#include <sched.h>
#endif

namespace idlm {

namespace {

#ifdef __linux__

int currentCore() { return sched_getcpu(); }

// Moves the calling thread to a core, where it need not stay.
void moveTo(int core) {
  if (core < 0 || core >= CPU_SETSIZE || core == sched_getcpu()) return;
  cpu_set_t all, one;
  CPU_ZERO(&one);
  CPU_SET(core, &one);
  pthread_t self = pthread_self();
  if (pthread_getaffinity_np(self, sizeof all, &all) == 0 && pthread_setaffinity_np(self, sizeof one, &one) == 0)
    pthread_setaffinity_np(self, sizeof all, &all);
}

#else

int currentCore() { return -1; }
void moveTo(int) {}

#endif

// Longer than JavaScript's part of a step with many sequences; a negligible load.
constexpr auto SPIN = std::chrono::milliseconds(10);
}  // namespace

Pool::Pool(int threads, bool isJoinable) : n_(threads < 1 ? 1 : threads), isJoinable_(isJoinable && n_ > 1) {
  for (int i = 0; i < n_; i++) threads_.emplace_back([this, i] { work(i); });
}

// The cores that this process may use.
Pool::Pool(int threads) : Pool(threads, threads >= int(std::thread::hardware_concurrency())) {}

Pool::~Pool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
    epoch_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  for (auto& t : threads_) t.join();
}

void Pool::run(void (*fn)(void*, int, bool), void* context, bool mayJoin) {
  std::lock_guard<std::mutex> job(jobs_);
  std::unique_lock<std::mutex> lock(mutex_);
  fn_ = fn, context_ = context;
  lastSleeps_ = mayJoin && isJoinable_ && isEventLoopBusy_;
  int first = n_ - int(lastSleeps_);
  barrier_.reset(first);
  running_.store(first, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  wake_.notify_all();
  done_.wait(lock, [&] { return running_.load(std::memory_order_acquire) == 0; });
}

void Pool::setEventLoopBusy(bool isBusy) {
  std::lock_guard<std::mutex> lock(mutex_);
  isEventLoopBusy_ = isBusy;
  if (isBusy) return;
  freeCore_ = currentCore();
  wake_.notify_all();
}

// Whether the last thread takes part in a job, from its beginning or, once the event loop has nothing left to do,
// later.
bool Pool::takesPart(uint64_t job, bool& joins) {
  std::unique_lock<std::mutex> lock(mutex_);
  auto isNext = [&] { return epoch_.load(std::memory_order_acquire) != job; };
  wake_.wait(lock, [&] { return isNext() || !lastSleeps_ || !isEventLoopBusy_; });
  joins = lastSleeps_;
  if (isNext()) return false;
  if (!joins) return true;
  // Unless the others have ended the job.
  int running = running_.load(std::memory_order_acquire);
  while (running > 0 && !running_.compare_exchange_weak(running, running + 1, std::memory_order_acq_rel)) {
  }
  if (running == 0) return false;
  int core = freeCore_;
  lock.unlock();
  // The scheduler may have woken it where another thread of the pool computes, and would leave both there for
  // milliseconds.
  moveTo(core);
  return true;
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
    bool joins = false;
    if (isJoinable_ && index == n_ - 1 && !takesPart(seen, joins)) continue;
    fn_(context_, index, joins);
    if (running_.fetch_sub(1, std::memory_order_acq_rel) > 1) continue;
    std::lock_guard<std::mutex> lock(mutex_);
    done_.notify_one();
  }
}

}  // namespace idlm
