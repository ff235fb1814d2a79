#include "gradients/transposed.h"

#include <atomic>
#include <cstring>
#include <stdexcept>

#include "program/pack.h"

namespace idlm {

TransposedWeights::TransposedWeights(const Plan& plan, const ProgramSource& source, const Weights& weights,
                                     bool isExact, Pool& pool)
    : nodes_(plan.nodes.size()) {
  for (size_t i = 0; i < source.parameters.size(); i++) parameters_[source.parameters[i].id] = int(i);
  struct Frozen {
    Matrix* to;
    std::vector<std::pair<Matrix, int>> from;  // each with its first column
  };
  std::vector<Frozen> frozen;
  auto planned = [&](Format format, int rows, int cols) {
    matrices_.emplace_back();
    memory_.plan(matrices_.back(), format, rows, cols);
    return &matrices_.back();
  };
  auto train = [&](int parameter, const Matrix* to, int column, float scale) {
    const ParameterSource& p = source.parameters[size_t(parameter)];
    trained_.push_back({parameter, to, column, p.rows, p.cols, scale});
  };
  std::vector<Matrix*> base(nodes_.size(), nullptr), lowRank(nodes_.size(), nullptr);
  std::vector<std::vector<Matrix*>> inner(nodes_.size());
  for (size_t i = 0; i < nodes_.size(); i++) {
    const Node& n = plan.nodes[i];
    if (!n.hasBackward || (n.kind != NodeKind::Linear && n.kind != NodeKind::Logits)) continue;
    int inputs = plan.widths[size_t(n.x)];
    if (n.kind == NodeKind::Logits) {
      if (!n.xGets) continue;
      if (n.trainsParameter) {
        base[i] = planned(Format::F32, inputs, n.slopeWidth);
        train(n.parameter, base[i], 0, 1);
        continue;
      }
      const DraftOutput& draft = weights.draft();
      Matrix m = draft.matrix;
      m.rows = draft.size;
      base[i] = planned(isInteger(m.format) && !isExact ? Format::Q8S : Format::F32, inputs, n.slopeWidth);
      frozen.push_back({base[i], {{m, 0}}});
      continue;
    }
    if (n.xGets) {
      bool trains = n.parts[0].trainsWeight, integer = true;
      Frozen f;
      for (const Part& p : n.parts) {
        Matrix m = weights.matrix(p.weight);
        integer = integer && isInteger(m.format);
        f.from.push_back({m, p.slope});
        if (p.trainsWeight != trains) throw std::invalid_argument("trained and frozen weights of one input");
      }
      base[i] = planned(integer && !trains && !isExact ? Format::Q8S : Format::F32, inputs, n.slopeWidth);
      f.to = base[i];
      if (trains)
        for (const Part& p : n.parts) train(p.weight, base[i], p.slope, 1);
      else
        frozen.push_back(std::move(f));
      if (n.innerWidth > 0) lowRank[i] = planned(Format::F32, inputs, n.innerWidth);
    }
    for (const Part& p : n.parts) {
      inner[i].push_back(nullptr);
      if (p.b == NONE) continue;
      inner[i].back() = planned(Format::F32, p.rank, p.width);
      train(p.b, inner[i].back(), 0, p.scale);
      if (lowRank[i]) train(p.a, lowRank[i], p.inner, 1);
    }
  }
  memory_.allocate();
  for (size_t i = 0; i < nodes_.size(); i++) {
    if (base[i]) nodes_[i].base = *base[i];
    if (lowRank[i]) nodes_[i].lowRank = *lowRank[i];
    for (Matrix* m : inner[i]) nodes_[i].inner.push_back(m ? *m : Matrix());
  }
  std::atomic<size_t> next{0};
  auto work = [&](int) {
    std::vector<float> row, transposed;
    for (size_t i = next++; i < frozen.size(); i = next++) {
      const Matrix& to = *frozen[i].to;
      size_t cols = size_t(to.cols);
      transposed.assign(size_t(to.rows) * cols, 0.0f), row.resize(size_t(to.rows));
      for (auto& [from, column] : frozen[i].from)
        for (int r = 0; r < from.rows; r++) {
          unpackRow(from, r, row.data());
          for (size_t k = 0; k < row.size(); k++) transposed[k * cols + size_t(column + r)] = row[k];
        }
      packFloat(transposed.data(), to.rows, to.cols, 1, to.format, memory_.writable(to));
    }
  };
  pool.run(work);
  std::vector<Replacement> stored;
  std::vector<std::vector<float>> copies;  // bytes need not be aligned
  for (const Trained& t : trained_) {
    const ParameterSource& p = source.parameters[size_t(t.parameter)];
    copies.emplace_back(size_t(p.rows) * size_t(p.cols));
    if (p.type != "F32" || p.size != copies.back().size() * 4)
      throw std::invalid_argument("parameter " + p.id + " is trained and must be F32");
    memcpy(copies.back().data(), p.bytes, p.size);
    packTrained(t, copies.back().data());
  }
}

// The lanes of a panel are consecutive in a row of the parameter.
void TransposedWeights::packTrained(const Trained& t, const float* values) {
  uint8_t* to = memory_.writable(*t.to);
  for (int k = 0; k < t.rows; k++) {
    const float* from = values + size_t(k) * size_t(t.cols);
    uint8_t* out = to + size_t(t.firstColumn + k) * PANEL * 4;
    int i = 0;
    for (; i + PANEL <= t.cols; i += PANEL, out += t.to->stride) {
      float lanes[PANEL];
      for (int lane = 0; lane < PANEL; lane++) lanes[lane] = from[i + lane] * t.scale;
      memcpy(out, lanes, sizeof(lanes));
    }
    for (int lane = 0; i + lane < t.cols; lane++) {
      float v = from[i + lane] * t.scale;
      memcpy(out + lane * 4, &v, 4);
    }
  }
}

void TransposedWeights::replace(const std::vector<Replacement>& replacements, Pool& pool) {
  std::vector<const float*> values(trained_.size(), nullptr);
  for (const Replacement& r : replacements) {
    auto found = parameters_.find(r.id);
    for (size_t i = 0; found != parameters_.end() && i < trained_.size(); i++)
      if (trained_[i].parameter == found->second) values[i] = r.values;
  }
  std::atomic<size_t> next{0};
  auto work = [&](int) {
    for (size_t i = next++; i < trained_.size(); i = next++)
      if (values[i]) packTrained(trained_[i], values[i]);
  };
  pool.run(work);
}

}  // namespace idlm
