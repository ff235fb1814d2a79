// The state of a running forward, as seen by one thread.
#pragma once
#include <atomic>

#include "executor/rows.h"
#include "executor/workspace.h"
#include "kernels/table.h"
#include "program/lowered.h"

namespace idlm {

class KvCache {
 public:
  KvCache(int nPages, size_t pageBytes) : nPages(nPages), pageBytes(pageBytes), memory(pageBytes * size_t(nPages)) {}
  const int nPages;
  const size_t pageBytes;  // of all layers
  Arena memory;
  uint8_t* layer(const CacheLayer& layer) { return memory.data() + layer.before * size_t(nPages); }
};

struct Run {
  const LoweredProgram& program;
  const ForwardRows& rows;
  Workspace& memory;
  const KernelTable& k;
  KvCache& cache;
  int thread = 0, threads = 1;
  int step = 0;  // index of the running step

  const Buffer& buffer(int id) const { return program.buffers[size_t(id)]; }
  float* row(int id, int r) const { return memory.floats(buffer(id)) + size_t(r) * size_t(buffer(id).width); }
  uint8_t* quantised(int id, int r) const {
    return memory.quantised(buffer(id)) + size_t(r) * buffer(id).quantisedStride;
  }
  // Quantises a row of a result for integer products.
  void quantiseRow(int id, int r) const { k.quantise(row(id, r), buffer(id).cols, quantised(id, r)); }

  // Every thread has a contiguous share, so that it reads memory in order, in chunks; a thread that is done takes
  // chunks of the others. The bits of an item do not depend on its thread.
  template <class Fn>
  void items(int n, int chunk, Fn fn) {
    for (int i = 0; i < threads; i++) {
      int owner = (thread + i) % threads;
      int begin = int(int64_t(n) * owner / threads), end = int(int64_t(n) * (owner + 1) / threads);
      std::atomic<int>& next = memory.counter(step, owner);
      for (;;) {
        int at = begin + next.fetch_add(chunk, std::memory_order_relaxed);
        if (at >= end) break;
        fn(at, at + chunk < end ? at + chunk : end);
      }
    }
  }
  // fn(row) for each row of a set.
  template <class Fn>
  void eachRow(RowSet set, Fn fn) {
    Range range = rows.range(set);
    items(range.size(), 1, [&](int i, int) { fn(range.begin + i); });
  }
};

}  // namespace idlm
