#include <cstring>

#include "executor/trig.h"
#include "gradients/block.h"
#include "program/pack.h"

namespace idlm {

namespace {

template <class T>
void reserve(std::vector<T>& memory, size_t n) {
  if (memory.size() < n) memory.resize(n);
}

}  // namespace

Block::Block(const TrainingProgram& program, const Plan& plan, const AttentionMemory& late,
             const AttentionMemory* early, BlockMemory& memory, std::vector<BlockRow> rows, std::vector<BlockRun> runs)
    : p_(program),
      k_(program.kernels),
      plan_(plan),
      late_(late),
      early_(early),
      memory_(memory),
      rows_(std::move(rows)),
      runs_(std::move(runs)),
      n_(int(rows_.size())) {
  reserve(memory_.floats, plan_.floatsPerRow * size_t(n_));
  size_t half = p_.inverseFrequencies.size(), pages = 0;
  for (std::vector<float>* angles : {&memory_.cosine, &memory_.sine, &memory_.minusSine})
    reserve(*angles, half * size_t(n_));
  for (size_t r = 0; r < size_t(n_); r++)
    for (size_t i = 0; i < half; i++) {
      double s, c;
      sineCosine(double(rows_[r].position) * p_.inverseFrequencies[i], s, c);
      memory_.cosine[r * half + i] = float(c * p_.attentionFactor);
      memory_.sine[r * half + i] = float(s * p_.attentionFactor);
      memory_.minusSine[r * half + i] = -memory_.sine[r * half + i];
    }
  for (const BlockRun& run : runs_) {
    pages = run.pages.size() > pages ? run.pages.size() : pages;
    tails_.emplace_back();
    for (int i = 0; i < run.n && run.length > 0; i++)
      tails_.back().push_back(int32_t((run.length + PAGE - 1) / PAGE * PAGE + i));
  }
  scoreStride_ = (pages + 1) * PAGE;
  reserve(memory_.attention, attentionGradientScratch(p_.attention.dPad, int(scoreStride_)));
}

// Slot of a row's K and V in its run's block table.
int Block::slotOf(const BlockRun& run, int row) const {
  if (run.length == 0) return rows_[size_t(row)].position;
  return int((run.length + PAGE - 1) / PAGE * PAGE) + row - run.first;
}

const float* Block::ofDepth(int parameter, int r) const {
  int depth = rows_[size_t(r)].depth < p_.nDepths ? rows_[size_t(r)].depth : p_.nDepths;
  return p_.weights.vector(parameter, size_t(p_.nDepths) * size_t(p_.hidden)) + size_t(depth - 1) * size_t(p_.hidden);
}

Block::Heads Block::paddedHeads(float* rows, size_t stride, int nHeads, std::vector<float>& memory, bool copies) const {
  size_t headDim = size_t(p_.attention.headDim), dPad = size_t(p_.attention.dPad);
  if (headDim == dPad) return {rows, stride};
  size_t own = size_t(nHeads) * dPad;
  memory.assign(own * size_t(n_), 0.0f);
  for (size_t r = 0; copies && r < size_t(n_); r++)
    for (size_t h = 0; h < size_t(nHeads); h++)
      memcpy(&memory[r * own + h * dPad], rows + r * stride + h * headDim, headDim * 4);
  return {memory.data(), own};
}

void Block::unpadHeads(const Heads& from, float* rows, size_t stride, int nHeads) const {
  size_t headDim = size_t(p_.attention.headDim), dPad = size_t(p_.attention.dPad);
  if (from.data == rows) return;
  for (size_t r = 0; r < size_t(n_); r++)
    for (size_t h = 0; h < size_t(nHeads); h++)
      memcpy(rows + r * stride + h * headDim, from.data + r * from.stride + h * dPad, headDim * 4);
}

void Block::linear(const Node& n) {
  const float* x = value(n.x, 0);
  Product product;
  product.x = x, product.xStride = size_t(stride(n.x)), product.n = n_;
  bool isQuantised = false;
  for (const Part& p : n.parts) {
    Matrix weight = p_.weights.matrix(p.weight);
    if (isInteger(weight.format) && !isQuantised) {
      memory_.rows.quantise(k_, x, product.xStride, width(n.x), n_);
      isQuantised = true;
    }
    product.quantised = &memory_.rows;
    Product own = product;
    own.out = value(p.out, 0), own.outStride = size_t(stride(p.out));
    if (p.bias != NONE) own.bias = p_.weights.vector(p.bias, size_t(p.width));
    if (p.a != NONE) {
      Product low = product;
      float* inner = at(n.inner, 0) + p.inner;
      low.out = inner, low.outStride = size_t(n.innerWidth);
      multiply(k_, p_.weights.matrix(p.a), low);
      own.lowRank = p_.weights.matrix(p.b);
      own.inner = inner, own.innerStride = size_t(n.innerWidth), own.quantisedInner = &memory_.lowRank;
      if (isInteger(own.lowRank.format)) memory_.lowRank.quantise(k_, inner, size_t(n.innerWidth), p.rank, n_);
    }
    multiply(k_, weight, own);
  }
}

void Block::rotate(const Node& n) {
  size_t half = size_t(n.headDim) / 2;
  for (int r = 0; r < n_; r++) {
    float* out = value(n.out, r);
    memcpy(out, value(n.x, r), size_t(width(n.x)) * 4);
    for (int h = 0; h < width(n.x); h += n.headDim)
      k_.rope(out + h, &memory_.cosine[size_t(r) * half], &memory_.sine[size_t(r) * half], n.headDim);
  }
}

AttentionArgs Block::attentionArgs(const Node& n, const BlockRun& run, int head) {
  const AttentionShape& shape = p_.attention;
  bool isLate = n.layer >= p_.entryLayer;
  AttentionArgs a;
  a.nRows = run.n;
  a.cache = (isLate ? late_ : *early_).layer(n.layer) + size_t(head) * shape.headBytes();
  a.pageBytes = shape.pageBytes(), a.vOffset = size_t(shape.dPad) * PAGE * shape.element();
  a.pages = (isLate ? run.pages : run.early).data();
  a.group = shape.group(), a.headDim = shape.headDim, a.dPad = shape.dPad;
  a.window = n.window, a.scale = shape.scale, a.half = shape.half;
  a.scratch = memory_.attention.data(), a.scoreStride = scoreStride_;
  return a;
}

void Block::attention(const Node& n, const std::function<void(int)>& beforeAttention) {
  const AttentionShape& shape = p_.attention;
  const size_t headDim = size_t(shape.headDim), dPad = size_t(shape.dPad), group = size_t(shape.group());
  bool isLate = n.layer >= p_.entryLayer;
  const AttentionMemory& memory = isLate ? late_ : *early_;
  uint8_t *layer = memory.layer(n.layer), *mirror = memory.mirror(n.layer);
  for (const BlockRun& run : runs_)
    for (int r = run.first; r < run.first + run.n; r++) {
      int slot = slotOf(run, r);
      size_t page = size_t((isLate ? run.pages : run.early)[size_t(slot / PAGE)]) * shape.pageBytes();
      for (size_t h = 0; h < size_t(shape.nKvHeads); h++) {
        const float *k = value(n.k, r) + h * headDim, *v = value(n.v, r) + h * headDim;
        size_t at = page + h * shape.headBytes();
        k_.storeKv(k, v, layer + at, slot % PAGE, shape.headDim, shape.dPad, shape.half);
        if (mirror) k_.storeKv(v, k, mirror + at, slot % PAGE, shape.headDim, shape.dPad, shape.half);
      }
    }
  beforeAttention(n.layer);
  Heads q = paddedHeads(value(n.q, 0), size_t(stride(n.q)), shape.nHeads, memory_.queries, true);
  std::vector<AttentionRow> rows;
  for (size_t i = 0; i < runs_.size(); i++) {
    const BlockRun& run = runs_[i];
    for (int h = 0; h < shape.nKvHeads; h++) {
      rows.resize(size_t(run.n));
      for (int j = 0; j < run.n; j++) {
        AttentionRow& row = rows[size_t(j)];
        int r = run.first + j;
        row.q = q.data + size_t(r) * q.stride + size_t(h) * group * dPad;
        row.out = value(n.out, r) + size_t(h) * group * headDim;
        row.length = run.length > 0 ? run.length : rows_[size_t(r)].position + 1;
        row.tail = tails_[i].data(), row.nTail = run.length > 0 ? j + 1 : 0;
      }
      AttentionArgs a = attentionArgs(n, run, h);
      a.rows = rows.data();
      k_.attention(a);
    }
  }
}

void Block::forward(const std::function<void(int)>& beforeAttention) {
  for (const Node& n : plan_.nodes) {
    const size_t bytes = n.kind == NodeKind::Logits || n.out == NONE ? 0 : size_t(width(n.out)) * 4;
    switch (n.kind) {
      case NodeKind::Embed: {
        Matrix m = p_.weights.matrix(n.parameter);
        const std::vector<int32_t>& inverse = p_.weights.base().inverse;
        bool isOrdered = !inverse.empty() && p_.parameters[size_t(n.parameter)].id == p_.weights.base().output;
        for (int r = 0; r < n_; r++) {
          int token = rows_[size_t(r)].token;
          unpackRow(m, isOrdered ? inverse[size_t(token)] : token, value(n.out, r));
        }
        break;
      }
      case NodeKind::MaskEmbed:
        for (int r = 0; r < n_; r++) memcpy(value(n.out, r), ofDepth(n.parameter, r), bytes);
        break;
      case NodeKind::Enter: {
        float scale = *p_.weights.vector(n.scale, 1);
        size_t entryStride = size_t((p_.hidden + PANEL - 1) / PANEL * PANEL);
        for (int r = 0; r < n_; r++) {
          const BlockRow& row = rows_[size_t(r)];
          const float *from = row.sequence->entry.data() + size_t(row.anchor) * entryStride,
                      *own = ofDepth(n.parameter, r);
          float* out = value(n.out, r);
          for (int j = 0; j < p_.hidden; j++) out[j] = from[j] * scale + own[j];
        }
        break;
      }
      case NodeKind::Norm: {
        const float* weight = n.parameter == NONE ? nullptr : p_.weights.vector(n.parameter, size_t(n.width));
        for (int r = 0; r < n_; r++)
          for (int i = 0; i < width(n.x); i += n.width)
            k_.rmsnorm(value(n.x, r) + i, weight, n.width, float(n.epsilon), value(n.out, r) + i);
        break;
      }
      case NodeKind::Linear:
        linear(n);
        break;
      case NodeKind::Rope:
        rotate(n);
        break;
      case NodeKind::Attention:
        attention(n, beforeAttention);
        break;
      case NodeKind::Swiglu:
        for (int r = 0; r < n_; r++) k_.swiglu(value(n.x, r), value(n.y, r), value(n.out, r), stride(n.out));
        break;
      case NodeKind::Silu:
        for (int r = 0; r < n_; r++) {
          memcpy(value(n.out, r), value(n.x, r), bytes);
          k_.silu(value(n.out, r), stride(n.out));
        }
        break;
      case NodeKind::Add:
        for (int r = 0; r < n_; r++) {
          memcpy(value(n.out, r), value(n.x, r), bytes);
          k_.add(value(n.out, r), value(n.y, r), width(n.out));
        }
        break;
      case NodeKind::Concat:
        for (int r = 0; r < n_; r++) {
          memcpy(value(n.out, r), value(n.x, r), size_t(width(n.x)) * 4);
          memcpy(value(n.out, r) + width(n.x), value(n.y, r), size_t(width(n.y)) * 4);
        }
        break;
      case NodeKind::Logits:
        break;  // computed with the loss
    }
  }
}

}  // namespace idlm
