#include "executor/workspace.h"

namespace idlm {

namespace {

int grown(int have, int need) { return have >= need ? have : need + need / 4; }

}  // namespace

Workspace::Workspace(const LoweredProgram& program, int threads) : program_(program), threads_(threads) {
  counters_ = std::make_unique<std::atomic<int>[]>(program.steps.size() * size_t(threads) * 16);
  attention.resize(size_t(threads));
}

void Workspace::begin() {
  for (size_t i = 0; i < program_.steps.size() * size_t(threads_); i++)
    counters_[i * 16].store(0, std::memory_order_relaxed);
}

void Workspace::reserve(int rows, int outputs, int positions) {
  if (rows > capacity_) {
    size_t capacity = size_t(grown(capacity_, rows));
    capacity_ = 0;  // until everything is allocated
    buffers_ = Arena(program_.bufferWidth * capacity * 4);
    quantised_ = Arena(program_.quantisedWidth * capacity + 64);
    t = Arena(program_.tWidth * capacity + 64);
    lowRank.resize(program_.lowRankWidth * capacity);
    cosine.resize(capacity * program_.inverseFrequencies.size());
    sine.resize(cosine.size());
    capacity_ = int(capacity);
  }
  if (outputs > outputCapacity_) {
    size_t capacity = size_t(grown(outputCapacity_, outputs));
    outputCapacity_ = 0;
    // Not a multiple of 4 KiB: stores of rows that share a cache set would wait for each other.
    logitsStride = size_t(program_.vocab + PANEL - 1) / PANEL * PANEL + 5 * PANEL;
    logits_ = Arena(logitsStride * capacity * 4);
    logitMaxima.resize(size_t(program_.output.panels()) * capacity);
    outputCapacity_ = int(capacity);
  }
  int padded = (positions + 3 * PAGE) / PAGE * PAGE;
  if (padded <= scoreStride) return;
  int stride = padded + padded / 4 / PAGE * PAGE;
  int dPad = 0;
  for (const CacheLayer& layer : program_.layers) dPad = layer.dPad > dPad ? layer.dPad : dPad;
  for (auto& scratch : attention) scratch.resize(attentionScratch(dPad, stride));
  scoreStride = stride;
}

}  // namespace idlm
