#include "executor/executor.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <stdexcept>

#include "executor/steps.h"
#include "executor/trig.h"

namespace idlm {

namespace {

[[noreturn]] void fail(const std::string& what) { throw std::invalid_argument(what); }

}  // namespace

Executor::Executor(const LoweredProgram& program, const KernelTable* kernels, int threads)
    : program_(program), kernels_(kernels), threads_(threads), memory_(program, threads) {}

std::shared_ptr<KvCache> Executor::createCache(int nPages) const {
  size_t page = program_.cachePageBytes;
  if (nPages < 1 || size_t(nPages) > (size_t(1) << 46) / page)
    fail("a cache of " + std::to_string(nPages) + " pages is out of range");
  return std::make_shared<KvCache>(nPages, page);
}

void Executor::checkCache(const KvCache& cache) const {
  if (cache.pageBytes != program_.cachePageBytes) fail("the KV cache is another model's");
}

void Executor::prepare(std::vector<int32_t>&& layout, const KvCache& cache) {
  checkCache(cache);
  rows_.assign(std::move(layout), program_, cache.nPages, threads_);
  int n = rows_.layout().nRows();
  memory_.reserve(n, rows_.layout().nOutputs(), rows_.layout().nSlots());
  memory_.begin();
  // Rotary angles of the rows' positions, shared by all layers.
  size_t half = program_.inverseFrequencies.size();
  for (size_t r = 0; r < size_t(n); r++)
    for (size_t j = 0; j < half; j++) {
      double s, c;
      sineCosine(double(rows_.row(int(r)).position) * program_.inverseFrequencies[j], s, c);
      memory_.cosine[r * half + j] = float(c * program_.attentionFactor);
      memory_.sine[r * half + j] = float(s * program_.attentionFactor);
    }
}

bool Executor::hasRows(const Step& step) const {
  Range rows = rows_.range(step.rows);
  return rows.size() > 0 && (step.run != steps::loraA || rows_.gated(rows).size() > 0);
}

uint32_t Executor::nPhases() const {
  return uint32_t(
      std::count_if(program_.steps.begin(), program_.steps.end(), [&](const Step& step) { return hasRows(step); }));
}

void Executor::run(KvCache& cache, int thread, Barrier& barrier, int64_t firstPhase, Timings* timings) {
  auto last = std::chrono::steady_clock::now();
  Run run{program_, rows_, memory_, *kernels_, cache, thread, threads_};
  int64_t phase = 0;
  for (const Step& step : program_.steps) {
    // All threads skip the same steps.
    if (hasRows(step) && phase++ >= firstPhase) {
      step.run(run, step);
      barrier.wait();
      if (timings && thread == 0) {
        auto now = std::chrono::steady_clock::now();
        (*timings)[step.name] += std::chrono::duration<double, std::milli>(now - last).count();
        last = now;
      }
    }
    run.step++;
  }
}

void Executor::moveKv(KvCache& cache, const std::vector<int32_t>& pages, const std::vector<int32_t>& from,
                      const std::vector<int32_t>& to) const {
  checkCache(cache);
  if (from.size() != to.size()) fail("moveKv: from and to differ in length");
  for (size_t i = 0; i < from.size(); i++)
    for (int32_t slot : {from[i], to[i]})
      if (slot < 0 || size_t(slot) >= pages.size() * PAGE || pages[size_t(slot / PAGE)] < 0 ||
          pages[size_t(slot / PAGE)] >= cache.nPages)
        fail("moveKv: slot " + std::to_string(slot) + " is not in the pages");
  const size_t element = program_.halfCache ? 2 : 4;
  for (const CacheLayer& layer : program_.layers) {
    uint8_t* base = cache.layer(layer);
    const size_t vOffset = layer.headBytes / 2, rowBytes = size_t(layer.dPad) * element;
    for (size_t i = 0; i < from.size(); i++) {
      if (from[i] == to[i]) continue;
      uint8_t *a = base + size_t(pages[size_t(from[i] / PAGE)]) * layer.pageBytes,
              *b = base + size_t(pages[size_t(to[i] / PAGE)]) * layer.pageBytes;
      size_t la = size_t(from[i] % PAGE), lb = size_t(to[i] % PAGE);
      for (int h = 0; h < layer.kvHeads; h++, a += layer.headBytes, b += layer.headBytes) {
        for (size_t d = 0; d < size_t(layer.dPad); d++)
          memcpy(b + (d * PAGE + lb) * element, a + (d * PAGE + la) * element, element);
        memcpy(b + vOffset + lb * rowBytes, a + vOffset + la * rowBytes, rowBytes);
      }
    }
  }
}

int Executor::outputOf(int row) const {
  int output = layout().outputOf(row);
  if (output == NONE) fail("row " + std::to_string(row) + " has no output");
  return output;
}

const float* Executor::hiddenStates() const { return memory_.floats(program_.buffers[size_t(program_.hiddenBuffer)]); }

size_t Executor::hiddenStride() const { return size_t(program_.buffers[size_t(program_.hiddenBuffer)].width); }

void Executor::hidden(int row, float* out) const {
  memcpy(out, hiddenStates() + size_t(outputOf(row)) * hiddenStride(), size_t(program_.hidden) * 4);
}

int Executor::logitsLength(int row) const {
  return outputOf(row) >= layout().nTokenOutputs() ? program_.weights.draft().size : program_.vocab;
}

void Executor::logits(int row, float* out) const {
  const std::vector<int32_t>& order = program_.weights.base().order;
  int n = logitsLength(row);
  const float* packed = packedLogits(outputOf(row));
  if (order.empty() || n < program_.vocab) {
    memcpy(out, packed, size_t(n) * 4);
    return;
  }
  for (int i = 0; i < n; i++) out[order[size_t(i)]] = packed[i];
}

int Executor::valueIndex(const std::string& id) const {
  for (size_t i = 0; i < program_.values.size(); i++)
    if (program_.values[i].id == id && program_.valueBuffers[i] != NONE) return int(i);
  fail("the value " + id + " is not kept");
}

int Executor::valueWidth(const std::string& id) const { return program_.values[size_t(valueIndex(id))].width; }

void Executor::value(const std::string& id, int row, float* out) const {
  size_t index = size_t(valueIndex(id));
  const ValueSource& value = program_.values[index];
  const Buffer& b = program_.buffers[size_t(program_.valueBuffers[index])];
  bool isOutput = value.rows == RowSet::Output || value.rows == RowSet::OutputToken || value.rows == RowSet::OutputMask;
  int at = isOutput ? layout().outputOf(row) : layout().rowOf(row);
  Range rows = rows_.range(value.rows);
  if (at < rows.begin || at >= rows.end) fail("the value " + id + " has no row " + std::to_string(row));
  memcpy(out, memory_.floats(b) + size_t(at) * size_t(b.width), size_t(value.width) * 4);
}

}  // namespace idlm
