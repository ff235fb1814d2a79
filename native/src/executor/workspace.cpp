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
    capacity_ = grown(capacity_, rows);
    buffers_ = Arena(program_.bufferWidth * size_t(capacity_) * 4);
    quantised_ = Arena(program_.quantisedWidth * size_t(capacity_) + 64);
    t = Arena(program_.tWidth * size_t(capacity_) + 64);
    lowRank.resize(program_.lowRankWidth * size_t(capacity_));
    cosine.resize(size_t(capacity_) * program_.inverseFrequencies.size());
    sine.resize(cosine.size());
  }
  if (outputs > outputCapacity_) {
    outputCapacity_ = grown(outputCapacity_, outputs);
    // Off multiples of 4 KiB: rows whose stores share a cache set would wait for each other.
    logitsStride = size_t(program_.vocab + PANEL - 1) / PANEL * PANEL + 5 * PANEL;
    logits_ = Arena(logitsStride * size_t(outputCapacity_) * 4);
    logitMaxima.resize(size_t(program_.output.panels()) * size_t(outputCapacity_));
  }
  int padded = (positions + 3 * PAGE) / PAGE * PAGE;
  if (padded <= scoreStride) return;
  scoreStride = padded + padded / 4 / PAGE * PAGE;
  int dPad = 0;
  for (const CacheLayer& layer : program_.layers) dPad = layer.dPad > dPad ? layer.dPad : dPad;
  for (auto& scratch : attention) scratch.resize(attentionScratch(dPad, scoreStride));
}

}  // namespace idlm
