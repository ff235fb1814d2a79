#include "gradients/plan.h"

#include <algorithm>
#include <array>
#include <map>
#include <stdexcept>
#include <string>

#include "gradients/columns.h"
#include "kernels/format.h"

namespace idlm {

namespace {

[[noreturn]] void fail(const std::string& what) { throw std::invalid_argument(what); }

int padded(int n, int to) { return (n + to - 1) / to * to; }

struct Planner {
  const ProgramSource& program;
  PlanKind kind;
  Plan plan;
  std::vector<int> alias;  // values that equal another one on these rows
  Columns columns;

  bool isMask() const { return kind == PlanKind::Loss || kind == PlanKind::Gradient; }
  bool hasGradients() const { return kind == PlanKind::Gradient || kind == PlanKind::Full; }

  int real(int value) const {
    while (value != NONE && alias[size_t(value)] != NONE) value = alias[size_t(value)];
    return value;
  }

  bool isTrainable(int parameter) const {
    return parameter != NONE && program.parameters[size_t(parameter)].isTrainable;
  }

  bool runs(const OperationSource& op) const {
    switch (op.rows) {
      case RowSet::Token:
      case RowSet::OutputToken:
        return !isMask();
      case RowSet::Mask:
      case RowSet::OutputMask:
        return isMask();
      default:
        return true;
    }
  }

  void addList(const ListSource& list, int first, bool isHead, int logits) {
    for (const ValueSource& v : list.values) plan.widths.push_back(v.width), alias.push_back(NONE);
    for (const OperationSource& op : list.operations) {
      if (!isHead && !runs(op)) continue;
      if (op.is("logits") && first + op.out != logits) continue;
      addOperation(op, first);
    }
  }

  void addOperation(const OperationSource& op, int first) {
    auto at = [&](int value) { return value == NONE ? NONE : real(first + value); };
    Node n;
    n.out = first + op.out;
    n.x = at(op.inputs.x), n.y = at(op.inputs.y), n.q = at(op.inputs.q), n.k = at(op.inputs.k), n.v = at(op.inputs.v);
    n.parameter = op.parameters.weight;
    n.epsilon = op.attributes.epsilon, n.width = op.attributes.width, n.headDim = op.attributes.headDim;
    n.layer = op.attributes.layer, n.nHeads = op.attributes.nHeads, n.nKvHeads = op.attributes.nKvHeads;
    n.window = op.attributes.window;
    if (op.is("join")) {
      alias[size_t(n.out)] = at(isMask() ? op.inputs.mask : op.inputs.token);
      return;
    }
    if (op.is("gather")) {
      alias[size_t(n.out)] = n.x;
      return;
    }
    if (op.is("lora")) return addLora(op, n);
    if (op.is("linear")) {
      Part part;
      part.weight = n.parameter, part.bias = op.parameters.bias;
      part.width = plan.widths[size_t(n.out)], part.out = n.out;
      part.trainsWeight = isTrainable(part.weight), part.trainsBias = isTrainable(part.bias);
      bool joins = !plan.nodes.empty() && plan.nodes.back().kind == NodeKind::Linear && plan.nodes.back().x == n.x;
      if (!joins) n.kind = NodeKind::Linear, plan.nodes.push_back(n);
      plan.nodes.back().parts.push_back(part);
      return;
    }
    if (op.is("embed"))
      n.kind = NodeKind::Embed;
    else if (op.is("mask-embed"))
      n.kind = NodeKind::MaskEmbed, n.parameter = op.parameters.embedding;
    else if (op.is("enter"))
      n.kind = NodeKind::Enter, n.parameter = op.parameters.embedding, n.scale = op.parameters.scale;
    else if (op.is("rmsnorm"))
      n.kind = NodeKind::Norm;
    else if (op.is("rope"))
      n.kind = NodeKind::Rope;
    else if (op.is("attention"))
      n.kind = NodeKind::Attention;
    else if (op.is("swiglu"))
      n.kind = NodeKind::Swiglu, n.x = at(op.inputs.gate), n.y = at(op.inputs.up);
    else if (op.is("silu"))
      n.kind = NodeKind::Silu;
    else if (op.is("add"))
      n.kind = NodeKind::Add;
    else if (op.is("concat"))
      n.kind = NodeKind::Concat;
    else if (op.is("logits"))
      n.kind = NodeKind::Logits;
    else
      fail("operation " + op.kind + " has no native gradient");
    if (n.kind == NodeKind::Enter) plan.entry = n.x, n.x = NONE;
    plan.nodes.push_back(n);
  }

  // Becomes part of the linear operation whose result it adds to.
  void addLora(const OperationSource& op, const Node& n) {
    Node* node = plan.nodes.empty() ? nullptr : &plan.nodes.back();
    if (!node || node->kind != NodeKind::Linear || node->x != n.x || node->parts.back().out != n.y)
      fail("a lora operation does not follow the linear one that it adds to");
    alias[size_t(n.out)] = n.y;
    if (!isMask()) return;
    Part& part = node->parts.back();
    part.a = op.parameters.a, part.b = op.parameters.b, part.scale = float(op.attributes.scale);
    part.rank = program.parameters[size_t(part.a)].rows;
  }

  // Finds the values that depend on trained parameters, and the inputs that have gradients.
  void findGradients() {
    std::vector<bool> depends(plan.widths.size(), false);
    for (Node& n : plan.nodes) {
      auto gets = [&](int value) { return value != NONE && depends[size_t(value)]; };
      n.xGets = gets(n.kind == NodeKind::Attention ? n.q : n.x), n.yGets = gets(n.y);
      n.kGets = gets(n.k), n.vGets = gets(n.v);
      bool own = n.xGets || n.yGets || n.kGets || n.vGets;
      if (n.kind == NodeKind::MaskEmbed || n.kind == NodeKind::Enter)
        own = own || isTrainable(n.parameter) || isTrainable(n.scale);
      if (n.kind == NodeKind::Embed || n.kind == NodeKind::Norm || n.kind == NodeKind::Logits)
        n.trainsParameter = isTrainable(n.parameter), own = own || n.trainsParameter;
      for (const Part& p : n.parts)
        own = own || p.trainsWeight || p.trainsBias || (isTrainable(p.a) && isTrainable(p.b));
      n.hasBackward = own;
      if (!own) continue;
      if (n.parts.empty()) depends[size_t(n.out)] = true;
      for (const Part& p : n.parts) depends[size_t(p.out)] = true;
    }
  }

  // Values that the backward reads.
  std::vector<bool> keptValues() const {
    std::vector<bool> kept(plan.widths.size(), false);
    auto keep = [&](int value) {
      if (value != NONE) kept[size_t(value)] = true;
    };
    if (!hasGradients()) return kept;
    for (const Node& n : plan.nodes) {
      if (!n.hasBackward) continue;
      switch (n.kind) {
        case NodeKind::Norm:
        case NodeKind::Linear:
        case NodeKind::Silu:
          keep(n.x);
          break;
        case NodeKind::Swiglu:
          keep(n.x), keep(n.y);
          break;
        case NodeKind::Attention:
          keep(n.q);
          if (kind == PlanKind::Full) keep(n.k), keep(n.v);  // else they are read from the cache
          break;
        case NodeKind::Embed:
        case NodeKind::MaskEmbed:
        case NodeKind::Enter:
        case NodeKind::Rope:
        case NodeKind::Add:
        case NodeKind::Concat:
        case NodeKind::Logits:
          break;
      }
    }
    return kept;
  }

  // Whether the backward of a kind overwrites the gradients of its inputs instead of adding to them.
  static bool overwritesGradients(NodeKind kind) {
    switch (kind) {
      case NodeKind::Attention:
      case NodeKind::Rope:
      case NodeKind::Swiglu:
      case NodeKind::Silu:
      case NodeKind::Logits:
        return true;
      case NodeKind::Embed:
      case NodeKind::MaskEmbed:
      case NodeKind::Enter:
      case NodeKind::Norm:
      case NodeKind::Linear:
      case NodeKind::Add:
      case NodeKind::Concat:
        return false;
    }
    return false;
  }

  void placeValues() {
    std::vector<bool> kept = keptValues();
    plan.values.resize(plan.widths.size()), plan.gradients.resize(plan.widths.size());
    std::vector<int> last(plan.widths.size(), NONE);
    auto reads = [](const Node& n) { return std::array<int, 5>{n.x, n.y, n.q, n.k, n.v}; };
    for (size_t i = 0; i < plan.nodes.size(); i++)
      for (int value : reads(plan.nodes[i]))
        if (value != NONE) last[size_t(value)] = int(i);
    for (int result : {plan.hidden, plan.entry})
      if (!isMask() && result != NONE) kept[size_t(result)] = true;
    for (size_t i = 0; i < plan.nodes.size(); i++) {
      Node& n = plan.nodes[i];
      if (n.kind == NodeKind::Logits) {
        n.slopeWidth = padded(plan.widths[size_t(n.out)], GROUP);
        continue;
      }
      auto place = [&](int value) {
        int stride = padded(plan.widths[size_t(value)], PANEL);
        plan.values[size_t(value)] = {columns.take(stride), stride, 0};
      };
      if (n.parts.empty()) place(n.out);
      for (Part& p : n.parts) {
        place(p.out);
        p.inner = n.innerWidth, p.slope = n.slopeWidth;
        n.innerWidth += padded(p.rank, PANEL), n.slopeWidth += padded(p.width, GROUP);
      }
      if (n.innerWidth > 0) n.inner = {columns.take(n.innerWidth), n.innerWidth, 0};
      for (int value : reads(n))
        if (value != NONE && last[size_t(value)] == int(i) && !kept[size_t(value)]) {
          Place& place = plan.values[size_t(value)];
          columns.release(place.offset, place.stride);
          last[size_t(value)] = NONE;
        }
      if (n.innerWidth > 0 && !hasGradients()) columns.release(n.inner.offset, n.inner.stride);
    }
  }

  void placeGradients() {
    // The node and part that write a value.
    std::vector<Node*> writers(plan.widths.size(), nullptr);
    std::vector<Part*> parts(plan.widths.size(), nullptr);
    for (Node& n : plan.nodes) {
      if (n.parts.empty()) writers[size_t(n.out)] = &n;
      for (Part& p : n.parts) writers[size_t(p.out)] = &n, parts[size_t(p.out)] = &p;
    }
    // Whether a gradient exists already, so that another one is added.
    auto flow = [&](int value) {
      Place& place = plan.gradients[size_t(value)];
      if (place.exists()) return true;
      Node* writer = writers[size_t(value)];
      if (Part* part = parts[size_t(value)]) {
        if (!writer->slopes.exists()) writer->slopes = {columns.take(writer->slopeWidth), writer->slopeWidth, 0};
        place = {writer->slopes.offset, writer->slopeWidth, part->slope};
      } else {
        int stride = padded(plan.widths[size_t(value)], PANEL);
        place = {columns.take(stride), stride, 0};
      }
      return false;
    };
    for (size_t i = plan.nodes.size(); i-- > 0;) {
      Node& n = plan.nodes[i];
      if (!n.hasBackward) continue;
      if (n.kind != NodeKind::Logits) {
        for (const Part& p : n.parts)
          if (!plan.gradients[size_t(p.out)].exists()) fail("a linear operation has no gradient");
        if (n.parts.empty() && !plan.gradients[size_t(n.out)].exists()) fail("an operation has no gradient");
      }
      if (n.xGets) n.xAdds = flow(n.kind == NodeKind::Attention ? n.q : n.x);
      if (n.yGets) n.yAdds = flow(n.y);
      if (n.kGets) n.kAdds = flow(n.k);
      if (n.vGets) n.vAdds = flow(n.v);
      bool adds = n.xAdds || n.yAdds || n.kAdds || n.vAdds;
      if (overwritesGradients(n.kind) && adds) fail("a value is read twice");
      if (n.kind == NodeKind::Swiglu && !(n.xGets && n.yGets)) fail("swiglu: a gradient flows to one input only");
      if (n.kind == NodeKind::Attention && !n.xGets) fail("attention: no gradient flows to q");
      if (n.kind == NodeKind::Logits) continue;
      const Place& own = n.parts.empty() ? plan.gradients[size_t(n.out)] : n.slopes;
      columns.release(own.offset, own.stride);
    }
  }
};

}  // namespace

Plan makePlan(const ProgramSource& program, PlanKind kind) {
  Planner p{program, kind, {}, {}, {}};
  bool hasHead = p.isMask() && !program.sampler.empty();
  int logits = NONE;
  if (p.isMask()) {
    if (program.maskLogits == NONE) fail("gated training needs MASK embeddings");
    logits = hasHead ? int(program.forward.values.size()) + program.sampler[0].logits : program.maskLogits;
  }
  if (kind == PlanKind::Full) logits = program.logits;
  p.addList(program.forward, 0, false, logits);
  p.plan.hidden = p.real(program.hidden);
  if (p.plan.entry == NONE)
    for (const OperationSource& op : program.forward.operations)
      if (op.is("enter")) p.plan.entry = p.real(op.inputs.x);
  if (hasHead) {
    const HeadSource& head = program.sampler[0];
    int first = int(program.forward.values.size());
    // The head's list reads the forward's result.
    for (size_t i = 0; i < head.values.size(); i++)
      p.plan.widths.push_back(head.values[i].width), p.alias.push_back(NONE);
    p.alias[size_t(first + head.hidden)] = p.plan.hidden;
    for (const OperationSource& op : head.operations) p.addOperation(op, first);
  }
  p.plan.logits = logits;
  if (p.hasGradients()) p.findGradients();
  p.placeValues();
  if (p.hasGradients()) p.placeGradients();
  p.plan.floatsPerRow = p.columns.size();
  return p.plan;
}

}  // namespace idlm
