#include "gradients/training_program.h"

#include <cmath>
#include <stdexcept>

namespace idlm {

namespace {

[[noreturn]] void fail(const std::string& what) { throw std::invalid_argument(what); }

// Sizes of the attention operations, which must be equal.
AttentionShape attentionOf(const ProgramSource& source) {
  AttentionShape shape;
  for (const OperationSource& op : source.forward.operations) {
    if (!op.is("attention")) continue;
    const auto& a = op.attributes;
    if (a.headDim < 2 || a.headDim > 1024 || a.nKvHeads < 1 || a.nHeads < 1 || a.nHeads % a.nKvHeads != 0 ||
        a.layer >= source.nLayers)
      fail("attention: the sizes are out of range");
    if (shape.nHeads != 0 && (shape.nHeads != a.nHeads || shape.nKvHeads != a.nKvHeads || shape.headDim != a.headDim))
      fail("layers of different heads have no native gradient");
    shape.nHeads = a.nHeads, shape.nKvHeads = a.nKvHeads, shape.headDim = a.headDim;
    auto width = [&](int value) { return source.forward.values[size_t(value)].width; };
    if (width(op.inputs.q) != a.nHeads * a.headDim || width(op.inputs.k) != a.nKvHeads * a.headDim ||
        width(op.inputs.v) != width(op.inputs.k))
      fail("attention: the shapes do not fit");
  }
  if (shape.nHeads == 0) fail("the program has no attention");
  shape.dPad = (shape.headDim + PANEL - 1) / PANEL * PANEL;
  shape.half = source.halfCache;
  shape.scale = 1.0f / std::sqrt(float(shape.headDim));
  return shape;
}

// Checks the shapes that the nodes rely on.
void check(const Plan& plan, const ProgramSource& source, const Weights& weights) {
  auto expect = [](bool holds, const char* what) {
    if (!holds) fail(what);
  };
  for (const Node& n : plan.nodes) {
    auto width = [&](int value) { return value == NONE ? 0 : plan.widths[size_t(value)]; };
    int out = width(n.out);
    switch (n.kind) {
      case NodeKind::Embed:
        expect(weights.matrix(n.parameter).cols == out && weights.matrix(n.parameter).rows == source.vocabSize,
               "embed: the shapes do not fit");
        break;
      case NodeKind::MaskEmbed:
      case NodeKind::Enter:
        expect(out == source.hiddenSize && source.nDepths >= 1, "the MASK embedding does not fit");
        weights.vector(n.parameter, size_t(source.nDepths) * size_t(out));
        if (n.scale != NONE) weights.vector(n.scale, 1);
        break;
      case NodeKind::Norm:
        expect(n.width >= 1 && width(n.x) % n.width == 0 && out == width(n.x), "rmsnorm: the shapes do not fit");
        if (n.parameter != NONE) weights.vector(n.parameter, size_t(n.width));
        break;
      case NodeKind::Linear:
        for (const Part& p : n.parts) {
          Matrix m = weights.matrix(p.weight);
          expect(m.cols == width(n.x) && m.rows == p.width, "linear: the shapes do not fit");
          if (p.bias != NONE) weights.vector(p.bias, size_t(p.width));
          if (p.a == NONE) continue;
          Matrix a = weights.matrix(p.a), b = weights.matrix(p.b);
          expect(a.cols == m.cols && b.rows == m.rows && a.rows == b.cols, "lora: the shapes do not fit");
        }
        break;
      case NodeKind::Rope:
        expect(n.headDim >= 2 && int(source.inverseFrequencies.size()) * 2 == n.headDim && out % n.headDim == 0 &&
                   width(n.x) == out,
               "rope: the shapes do not fit");
        break;
      case NodeKind::Attention:
        expect(out == width(n.q), "attention: the shapes do not fit");
        break;
      case NodeKind::Concat:
        expect(out == width(n.x) + width(n.y), "concat: the shapes do not fit");
        break;
      case NodeKind::Logits:
        expect(weights.draft().matrix.cols == width(n.x), "logits: the shapes do not fit");
        break;
      default:
        expect(out == width(n.x) && (n.y == NONE || out == width(n.y)), "an operation's shapes do not fit");
    }
  }
}

}  // namespace

TrainingProgram::TrainingProgram(const ProgramSource& source, bool full, bool isExact, Pool& pool,
                                 const KernelTable* table)
    : kernels(*table),
      isFull(full),
      clean(full ? Plan() : makePlan(source, PlanKind::Clean)),
      loss(full ? Plan() : makePlan(source, PlanKind::Loss)),
      gradient(makePlan(source, full ? PlanKind::Full : PlanKind::Gradient)),
      weights(source, nullptr),
      attention(attentionOf(source)),
      nLayers(source.nLayers),
      entryLayer(source.entryLayer),
      hidden(source.hiddenSize),
      vocab(source.vocabSize),
      nDepths(source.nDepths),
      inverseFrequencies(source.inverseFrequencies),
      attentionFactor(source.attentionFactor),
      parameters(source.parameters) {
  for (ParameterSource& p : parameters) p.bytes = nullptr, p.order.clear();
  weights.pack(source, pool);
  draftSize = weights.draft().size;
  for (const Plan* plan : {&clean, &loss, &gradient}) {
    if (plan->nodes.empty()) continue;
    check(*plan, source, weights);
    if (plan->hidden == NONE || plan->widths[size_t(plan->hidden)] != hidden) fail("the hidden state does not fit");
    if (plan->entry != NONE && plan->widths[size_t(plan->entry)] != hidden) fail("the entry's state does not fit");
  }
  transposed = std::make_unique<TransposedWeights>(gradient, source, weights, isExact, pool);
}

void TrainingProgram::replace(const std::vector<Replacement>& replacements, Pool& pool) {
  weights.replace(replacements, pool);
  transposed->replace(replacements, pool);
}

}  // namespace idlm
