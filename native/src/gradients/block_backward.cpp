#include <cstring>

#include "gradients/block.h"

namespace idlm {

namespace {

void addOuter(const KernelTable& k, GradientBuffers& gradients, int parameter, const float* y, size_t yStride, int nY,
              const float* x, size_t xStride, int nX, int nRows) {
  GradientBuffers::Buffer& to = gradients.of[size_t(parameter)];
  if (!to.exists()) return;
  OuterArgs a;
  a.y = y, a.yStride = yStride, a.nY = nY;
  a.x = x, a.xStride = xStride, a.nX = nX, a.nRows = nRows;
  a.out = to.values.data(), a.outStride = size_t(to.stride);
  k.outer(a);
}

}  // namespace

void Block::flow(const float* from, size_t fromStride, int id, bool adds) {
  for (int r = 0; r < n_; r++) {
    if (adds)
      k_.add(slope(id, r), from + size_t(r) * fromStride, width(id));
    else
      memcpy(slope(id, r), from + size_t(r) * fromStride, size_t(width(id)) * 4);
  }
}

void Block::linearGradient(const Node& n, size_t index, GradientBuffers& gradients, const InOrder& inOrder) {
  const TransposedNode& transposed = p_.transposed->node(index);
  float *dy = at(n.slopes, 0), *t = n.innerWidth > 0 ? at(n.inner, 0) : nullptr;
  const size_t dyStride = size_t(n.slopeWidth), innerStride = size_t(n.innerWidth);
  for (const Part& p : n.parts)
    for (int r = 0; r < n_ && p.width % GROUP != 0; r++)
      memset(dy + size_t(r) * dyStride + p.slope + p.width, 0, size_t(GROUP - p.width % GROUP) * 4);
  if (memory_.inner.size() < innerStride * size_t(n_)) memory_.inner.resize(innerStride * size_t(n_));
  Product product;
  product.x = dy, product.xStride = dyStride, product.n = n_;
  for (size_t i = 0; i < n.parts.size(); i++) {
    const Part& p = n.parts[i];
    if (p.b == NONE) continue;
    Product own = product;
    own.x = dy + p.slope;
    own.out = memory_.inner.data() + p.inner, own.outStride = innerStride;
    multiply(k_, transposed.inner[i], own);
    for (int r = 0; r < n_; r++)
      for (int j = 0; j < p.rank; j++) t[size_t(r) * innerStride + size_t(p.inner + j)] *= p.scale;
  }
  if (n.xGets) {
    if (isInteger(transposed.base.format)) {
      memory_.rows.quantise(k_, dy, dyStride, n.slopeWidth, n_);
      product.quantised = &memory_.rows;
    }
    product.out = slope(n.x, 0), product.outStride = size_t(slopeStride(n.x));
    product.adds = n.xAdds;
    product.lowRank = transposed.lowRank;
    product.inner = memory_.inner.data(), product.innerStride = innerStride;
    multiply(k_, transposed.base, product);
  }
  inOrder(index, [&] {
    for (const Part& p : n.parts) {
      if (p.trainsBias)
        for (int r = 0; r < n_; r++)
          k_.add(gradients.of[size_t(p.bias)].values.data(), dy + size_t(r) * dyStride + p.slope, p.width);
      if (p.trainsWeight)
        addOuter(k_, gradients, p.weight, dy + p.slope, dyStride, p.width, value(n.x, 0), size_t(stride(n.x)),
                 width(n.x), n_);
      if (p.b == NONE) continue;
      addOuter(k_, gradients, p.a, memory_.inner.data() + p.inner, innerStride, p.rank, value(n.x, 0),
               size_t(stride(n.x)), width(n.x), n_);
      addOuter(k_, gradients, p.b, dy + p.slope, dyStride, p.width, t + p.inner, innerStride, p.rank, n_);
    }
  });
}

void Block::embeddingGradient(const Node& n, size_t index, GradientBuffers& gradients, const InOrder& inOrder) {
  inOrder(index, [&] {
    GradientBuffers::Buffer& embedding = gradients.of[size_t(n.parameter)];
    size_t entryStride = size_t((p_.hidden + PANEL - 1) / PANEL * PANEL);
    for (int r = 0; r < n_; r++) {
      const BlockRow& row = rows_[size_t(r)];
      int depth = row.depth < p_.nDepths ? row.depth : p_.nDepths;
      const float* dy = slope(n.out, r);
      if (embedding.exists()) k_.add(&embedding.values[size_t(depth - 1) * size_t(embedding.stride)], dy, p_.hidden);
      if (n.scale == NONE || !gradients.of[size_t(n.scale)].exists()) continue;
      const float* x = row.sequence->entry.data() + size_t(row.anchor) * entryStride;
      double sum = 0;
      for (int i = 0; i < p_.hidden; i++) sum += double(dy[i]) * double(x[i]);
      gradients.of[size_t(n.scale)].values[0] += float(sum);
    }
  });
}

// dw = sum of dy x / |x|, over rows and groups.
void Block::normWeightGradient(const Node& n, size_t index, GradientBuffers& gradients, const InOrder& inOrder) {
  std::vector<float>& unit = memory_.inner;
  size_t stride = size_t((n.width + PANEL - 1) / PANEL * PANEL);
  if (unit.size() < 2 * stride) unit.resize(2 * stride);
  std::vector<float> sums(stride, 0.0f);
  for (int r = 0; r < n_; r++)
    for (int h = 0; h < width(n.x); h += n.width) {
      k_.rmsnorm(value(n.x, r) + h, nullptr, n.width, float(n.epsilon), unit.data());
      const float* dy = slope(n.out, r) + h;
      for (int j = 0; j < n.width; j++) sums[size_t(j)] += dy[j] * unit[size_t(j)];
    }
  inOrder(index, [&] { k_.add(gradients.of[size_t(n.parameter)].values.data(), sums.data(), n.width); });
}

// Of all rows that a row attends to, clean ones included.
void Block::ancestorGradient(const Node& n) {
  const AttentionShape& shape = p_.attention;
  const size_t headDim = size_t(shape.headDim), group = size_t(shape.group());
  std::vector<int32_t> lengths, tails;
  lengths.resize(size_t(n_)), tails.resize(size_t(n_));
  for (size_t i = 0; i < runs_.size(); i++)
    for (int r = runs_[i].first; r < runs_[i].first + runs_[i].n; r++) {
      // The first run is the chain of clean rows, and MASK runs follow some of its rows.
      lengths[size_t(r)] = i == 0 ? r + 1 : runs_[i].length;
      tails[size_t(r)] = i == 0 ? r + 1 : runs_[i].first;
    }
  AncestorGradientArgs a;
  a.nRows = n_, a.lengths = lengths.data(), a.tails = tails.data();
  a.group = shape.group(), a.headDim = shape.headDim, a.scale = shape.scale;
  memory_.queries.resize(ancestorGradientScratch(shape.headDim, n_));
  a.scratch = memory_.queries.data();
  a.qStride = size_t(stride(n.q)), a.kStride = size_t(stride(n.k)), a.vStride = size_t(stride(n.v));
  a.outStride = size_t(slopeStride(n.out)), a.dqStride = size_t(slopeStride(n.q));
  a.dkStride = size_t(slopeStride(n.k)), a.dvStride = size_t(slopeStride(n.v));
  for (size_t h = 0; h < size_t(shape.nKvHeads); h++) {
    a.q = value(n.q, 0) + h * group * headDim, a.k = value(n.k, 0) + h * headDim, a.v = value(n.v, 0) + h * headDim;
    a.dOut = slope(n.out, 0) + h * group * headDim, a.dq = slope(n.q, 0) + h * group * headDim;
    a.dk = slope(n.k, 0) + h * headDim, a.dv = slope(n.v, 0) + h * headDim;
    k_.ancestorGradient(a);
  }
}

void Block::attentionGradient(const Node& n) {
  const AttentionShape& shape = p_.attention;
  const size_t dPad = size_t(shape.dPad), group = size_t(shape.group());
  Heads q = paddedHeads(value(n.q, 0), size_t(stride(n.q)), shape.nHeads, memory_.queries, true);
  Heads dOut = paddedHeads(slope(n.out, 0), size_t(slopeStride(n.out)), shape.nHeads, memory_.slopes, true);
  Heads dq = paddedHeads(slope(n.q, 0), size_t(slopeStride(n.q)), shape.nHeads, memory_.querySlopes, false);
  size_t kvStride = size_t(shape.nKvHeads) * dPad;
  memory_.keySlopes.assign(kvStride * size_t(n_), 0.0f), memory_.valueSlopes.assign(kvStride * size_t(n_), 0.0f);
  std::vector<AttentionRow> rows;
  std::vector<AttentionGradientRow> slopes;
  for (size_t i = 0; i < runs_.size(); i++) {
    const BlockRun& run = runs_[i];
    rows.resize(size_t(run.n)), slopes.resize(size_t(run.n));
    for (int h = 0; h < shape.nKvHeads; h++) {
      for (int j = 0; j < run.n; j++) {
        size_t r = size_t(run.first + j), head = size_t(h) * group * dPad;
        rows[size_t(j)].q = q.data + r * q.stride + head;
        rows[size_t(j)].length = run.length, rows[size_t(j)].tail = tails_[i].data(), rows[size_t(j)].nTail = j + 1;
        AttentionGradientRow& to = slopes[size_t(j)];
        to.dOut = dOut.data + r * dOut.stride + head, to.dq = dq.data + r * dq.stride + head;
        to.dk = &memory_.keySlopes[r * kvStride + size_t(h) * dPad];
        to.dv = &memory_.valueSlopes[r * kvStride + size_t(h) * dPad];
      }
      AttentionGradientArgs a;
      a.forward = attentionArgs(n, run, h);
      a.forward.rows = rows.data(), a.rows = slopes.data();
      a.mirror = late_.mirror(n.layer) + size_t(h) * shape.headBytes();
      k_.attentionGradient(a);
    }
  }
  unpadHeads(dq, slope(n.q, 0), size_t(slopeStride(n.q)), shape.nHeads);
  const Heads dk{memory_.keySlopes.data(), kvStride}, dv{memory_.valueSlopes.data(), kvStride};
  if (n.kGets) unpadHeads(dk, slope(n.k, 0), size_t(slopeStride(n.k)), shape.nKvHeads);
  if (n.vGets) unpadHeads(dv, slope(n.v, 0), size_t(slopeStride(n.v)), shape.nKvHeads);
}

void Block::backward(GradientBuffers& gradients, const InOrder& inOrder) {
  const size_t half = p_.inverseFrequencies.size();
  for (size_t i = plan_.nodes.size(); i-- > 0;) {
    const Node& n = plan_.nodes[i];
    if (!n.hasBackward) continue;
    switch (n.kind) {
      case NodeKind::MaskEmbed:
      case NodeKind::Enter:
        embeddingGradient(n, i, gradients, inOrder);
        break;
      case NodeKind::Norm: {
        const float* weight = n.parameter == NONE ? nullptr : p_.weights.vector(n.parameter, size_t(n.width));
        if (n.trainsParameter) normWeightGradient(n, i, gradients, inOrder);
        for (int r = 0; n.xGets && r < n_; r++)
          for (int h = 0; h < width(n.x); h += n.width)
            k_.rmsnormGradient(value(n.x, r) + h, weight, slope(n.out, r) + h, n.width, float(n.epsilon),
                               slope(n.x, r) + h, n.xAdds);
        break;
      }
      case NodeKind::Linear:
        linearGradient(n, i, gradients, inOrder);
        break;
      case NodeKind::Rope:  // rotates by the negative angle
        for (int r = 0; r < n_; r++) {
          float* dx = slope(n.x, r);
          memcpy(dx, slope(n.out, r), size_t(width(n.x)) * 4);
          for (int h = 0; h < width(n.x); h += n.headDim)
            k_.rope(dx + h, &memory_.cosine[size_t(r) * half], &memory_.minusSine[size_t(r) * half], n.headDim);
        }
        break;
      case NodeKind::Attention:
        if (p_.isFull)
          ancestorGradient(n);
        else
          attentionGradient(n);
        break;
      case NodeKind::Swiglu:
        for (int r = 0; r < n_; r++)
          k_.swigluGradient(value(n.x, r), value(n.y, r), slope(n.out, r), stride(n.out), slope(n.x, r), slope(n.y, r));
        break;
      case NodeKind::Silu:
        for (int r = 0; r < n_; r++) k_.siluGradient(value(n.x, r), slope(n.out, r), stride(n.out), slope(n.x, r));
        break;
      case NodeKind::Add:
        if (n.xGets) flow(slope(n.out, 0), size_t(slopeStride(n.out)), n.x, n.xAdds);
        if (n.yGets) flow(slope(n.out, 0), size_t(slopeStride(n.out)), n.y, n.yAdds);
        break;
      case NodeKind::Concat:
        if (n.xGets) flow(slope(n.out, 0), size_t(slopeStride(n.out)), n.x, n.xAdds);
        if (n.yGets) flow(slope(n.out, 0) + width(n.x), size_t(slopeStride(n.out)), n.y, n.yAdds);
        break;
      case NodeKind::Embed:
        if (n.trainsParameter)
          inOrder(i, [&] {
            GradientBuffers::Buffer& to = gradients.of[size_t(n.parameter)];
            for (int r = 0; r < n_; r++)
              k_.add(&to.values[size_t(rows_[size_t(r)].token) * size_t(to.stride)], slope(n.out, r), width(n.out));
          });
        break;
      case NodeKind::Logits:  // computed with the loss
        break;
    }
  }
}

}  // namespace idlm
