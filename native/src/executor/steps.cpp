#include "executor/steps.h"

#include <cmath>
#include <cstring>

namespace idlm::steps {

namespace {

// Rows of x from `first` on, as input of a product.
void readFrom(const Run& run, const Step& step, int first, LinearArgs& a) {
  const Buffer& x = run.buffer(step.x);
  a.xStride = step.integer ? x.quantisedStride : size_t(x.width) * 4;
  a.x = step.integer ? run.quantised(step.x, first) : reinterpret_cast<const uint8_t*>(run.row(step.x, first));
}

int chunkOf(int items, int threads) {
  int chunk = items / (threads * 4);
  return chunk < 1 ? 1 : chunk > 16 ? 16 : chunk;
}

}  // namespace

void linear(Run& run, const Step& step) {
  Range rows = run.rows.range(step.rows);
  LinearPart parts[MAX_PARTS];
  LinearArgs a;
  a.nParts = int(step.parts.size());
  int n = 0;
  for (int i = 0; i < a.nParts; i++) {
    const LoweredPart& p = step.parts[size_t(i)];
    parts[i].weight = p.weight, parts[i].bias = p.bias;
    parts[i].loraB = p.loraB, parts[i].loraOffset = p.loraOffset;
    if (p.out != NONE) parts[i].out = run.row(p.out, rows.begin), parts[i].outStride = size_t(run.buffer(p.out).width);
    n += p.weight.panels();
  }
  a.parts = parts;
  readFrom(run, step, rows.begin, a);
  a.nRows = rows.size();
  a.epilogue = step.epilogue;
  if (step.hasLora && run.rows.gated(rows).size() > 0) {
    a.gated = run.rows.gatedIndex() + rows.begin;
    a.t = run.memory.t.data(), a.tStride = run.program.tWidth;
  }
  if (step.epilogue == Epilogue::Swiglu || step.epilogue == Epilogue::SwigluQuantised) {
    const Buffer& out = run.buffer(step.out);
    parts[0].out = run.row(step.out, rows.begin), parts[0].outStride = size_t(out.width);
    a.quantisedOut = step.quantises ? run.quantised(step.out, rows.begin) : nullptr;
    a.quantisedStride = out.quantisedStride;
    n = (step.parts[0].weight.panels() + 1) / 2;
  }
  run.items(n, chunkOf(n, run.threads), [&](int begin, int end) { run.k.linear(a, begin, end); });
}

// Logits of outputs: token rows over the vocabulary; MASK rows over the draft vocabulary, with the largest of each
// panel, from which proposals make their shortlists.
void logits(Run& run, const Step& step) {
  Range rows = run.rows.range(step.rows);
  LinearPart part;
  part.weight = step.parts[0].weight;
  part.out = run.memory.logits(rows.begin), part.outStride = run.memory.logitsStride;
  LinearArgs a;
  a.parts = &part, a.nParts = 1;
  readFrom(run, step, rows.begin, a);
  a.nRows = rows.size();
  int n = part.weight.panels(), nTokens = run.rows.layout().nTokenOutputs(), firstMask = nTokens - rows.begin;
  if (rows.end > nTokens) {
    a.maxima = run.memory.logitMaxima.data(), a.maximaStride = size_t(run.program.output.panels());
    a.maximaFrom = firstMask > 0 ? firstMask : 0;
  }
  const DraftOutput& draft = run.program.weights.draft();
  if (step.rows == RowSet::Output && draft.size < run.program.vocab) {
    a.limitPanel = (draft.size + PANEL - 1) / PANEL;
    a.limitRows = nTokens;
    if (nTokens == 0) n = a.limitPanel;
  }
  run.items(n, chunkOf(n, run.threads), [&](int begin, int end) { run.k.linear(a, begin, end); });
}

// t = A x of the gated rows, as input of the product with B. Items are panels; with integer weights the thread that
// completes a part quantises it.
void loraA(Run& run, const Step& step) {
  Range rows = run.rows.range(step.rows), gated = run.rows.gated(rows);
  const int32_t* gatedIndex = run.rows.gatedIndex();
  const size_t tWidth = run.program.tWidth, lowRankWidth = run.program.lowRankWidth;
  uint8_t* t = run.memory.t.data();
  float* lowRank = run.memory.lowRank.data();
  int nPanels = 0;
  for (const LoweredPart& p : step.parts) nPanels += p.loraA.data ? p.loraA.panels() : 0;
  run.items(nPanels, 1, [&](int item, int) {
    size_t at = 0;
    while (!step.parts[at].loraA.data || item >= step.parts[at].loraA.panels()) {
      const LoweredPart& before = step.parts[at++];
      item -= before.loraA.data ? before.loraA.panels() : 0;
    }
    const LoweredPart& p = step.parts[at];
    bool integer = isInteger(p.loraB.format);
    LinearPart part;
    part.weight = p.loraA;
    for (int row = rows.begin; row < rows.end;) {
      if (gatedIndex[row] < 0) {
        row++;
        continue;
      }
      int last = row + 1;
      while (last < rows.end && gatedIndex[last] >= 0) last++;
      size_t index = size_t(gatedIndex[row]);
      part.out = integer ? lowRank + index * lowRankWidth + p.loraFirst
                         : reinterpret_cast<float*>(t + index * tWidth + p.loraOffset);
      part.outStride = integer ? lowRankWidth : tWidth / 4;
      LinearArgs a;
      a.parts = &part, a.nParts = 1, a.nRows = last - row;
      readFrom(run, step, row, a);
      run.k.linear(a, item, item + 1);
      row = last;
    }
    std::atomic<int>& done = run.memory.lowRankDone[at];
    if (!integer || done.fetch_add(1, std::memory_order_acq_rel) + 1 < p.loraA.panels()) return;
    done.store(0, std::memory_order_relaxed);
    for (int g = gated.begin; g < gated.end; g++)
      run.k.quantise(lowRank + size_t(g) * lowRankWidth + p.loraFirst, p.loraA.rows,
                     t + size_t(g) * tWidth + p.loraOffset);
  });
}

void rotateStore(Run& run, const Step& step) {
  Range rows = run.rows.range(step.rows);
  const CacheLayer& layer = run.program.layers[size_t(step.layer)];
  int group = step.heads / step.kvHeads;
  size_t headDim = size_t(step.headDim), dPad = size_t(layer.dPad);
  uint8_t* cache = run.cache.layer(layer);
  // Items: a row and a KV head, with the query heads that share it.
  run.items(rows.size() * step.kvHeads, 1, [&](int item, int) {
    int r = rows.begin + item / step.kvHeads, h = item % step.kvHeads;
    const ForestLayout::Row& info = run.rows.row(r);
    const float *cosine = run.memory.cosine.data() + size_t(r) * (headDim / 2),
                *sine = run.memory.sine.data() + size_t(r) * (headDim / 2);
    for (int i = h * group; i < (h + 1) * group; i++) {
      float* q = run.row(step.rotated, r) + size_t(i) * dPad;
      memcpy(q, run.row(step.x, r) + size_t(i) * headDim, headDim * 4);
      if (step.rotates) run.k.rope(q, cosine, sine, step.headDim);
    }
    float* key = run.row(step.y, r) + size_t(h) * headDim;
    if (step.rotates) run.k.rope(key, cosine, sine, step.headDim);
    const int32_t* pages = run.rows.layout().pages(info.sequence);
    uint8_t* page = cache + size_t(pages[info.slot / PAGE]) * layer.pageBytes + size_t(h) * layer.headBytes;
    run.k.storeKv(key, run.row(step.v, r) + size_t(h) * headDim, page, info.slot % PAGE, step.headDim, layer.dPad,
                  run.program.halfCache);
  });
}

void attention(Run& run, const Step& step) {
  const CacheLayer& layer = run.program.layers[size_t(step.layer)];
  int group = step.heads / step.kvHeads;
  const Tiling& tiling = run.rows.tiling(step);
  // Items: a tile of rows and a KV head.
  run.items(int(tiling.tiles.size()) * step.kvHeads, 1, [&](int item, int) {
    const Tiling::Tile& tile = tiling.tiles[size_t(item / step.kvHeads)];
    const int32_t* tileRows = tiling.rows.data() + tile.first;
    int h = item % step.kvHeads;
    AttentionRow rows[ATTENTION_QUERIES];
    for (int i = 0; i < tile.n; i++) {
      int r = tileRows[i];
      const ForestLayout::Row& info = run.rows.row(r);
      AttentionRow& own = rows[i];
      own.q = run.row(step.rotated, r) + size_t(h) * size_t(group) * size_t(layer.dPad);
      own.out = run.row(step.out, r) + size_t(h) * size_t(group) * size_t(step.headDim);
      own.length = info.nBefore;
      own.tail = run.rows.layout().tail(r), own.nTail = info.nTail;
    }
    AttentionArgs a;
    a.rows = rows, a.nRows = tile.n;
    a.cache = run.cache.layer(layer) + size_t(h) * layer.headBytes;
    a.pageBytes = layer.pageBytes, a.vOffset = layer.headBytes / 2;
    a.pages = run.rows.layout().pages(tile.sequence);
    a.group = group, a.headDim = step.headDim, a.dPad = layer.dPad, a.window = step.window;
    a.scale = 1.0f / std::sqrt(float(step.headDim));
    a.half = run.program.halfCache;
    a.scratch = run.memory.attention[size_t(run.thread)].data(), a.scoreStride = size_t(run.memory.scoreStride);
    run.k.attention(a);
    if (!step.quantises) return;
    int groups = group * step.headDim / GROUP;
    for (int i = 0; i < tile.n; i++)
      run.k.quantiseGroups(rows[i].out, run.quantised(step.out, tileRows[i]), h * groups, groups);
  });
}

void quantise(Run& run, const Step& step) {
  run.eachRow(step.rows, [&](int r) { run.quantiseRow(step.out, r); });
}

}  // namespace idlm::steps
