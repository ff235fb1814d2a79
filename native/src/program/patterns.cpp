// Operations that are fused into one step: linear ones over one input, each with its low-rank term, and operations
// after them; rotation and attention; logits of token rows and MASK rows; lists of heads.
#include <stdexcept>

#include "executor/steps.h"
#include "kernels/format.h"
#include "program/lowering.h"

namespace idlm {

namespace {

int padded(int n) { return (n + PANEL - 1) / PANEL * PANEL; }

}  // namespace

// The linear operation at `index` and the low-rank term after it, as a part of a step. Advances `index` past them;
// `out` is the value that they write.
LoweredPart Lowering::linearPart(size_t& index, Step& step, int& out) {
  at_ = index;
  const OperationSource& op = operations_[index++];
  LoweredPart part;
  part.weight = weights().matrix(op.parameters.weight);
  out = op.out;
  expect(part.weight.cols == width(op.inputs.x) && part.weight.rows == width(out), "shapes do not fit");
  if (op.parameters.bias != NONE) part.bias = weights().vector(op.parameters.bias, size_t(part.weight.rows));
  if (index == operations_.size() || !operations_[index].is("lora") || operations_[index].inputs.y != out) return part;
  at_ = index;
  const OperationSource& lora = operations_[index++];
  expect(reads_[size_t(out)] == 1 && lora.inputs.x == op.inputs.x && lora.rows == op.rows,
         "expected it on the input and the rows of the linear operation, whose result nothing else reads");
  expect(lora.rows == RowSet::Token || lora.rows == RowSet::Mask || lora.rows == RowSet::All,
         "rows of outputs have no gate");
  part.loraA = weights().matrix(lora.parameters.a), part.loraB = weights().matrix(lora.parameters.b);
  int rank = part.loraA.rows;
  expect(part.loraA.cols == part.weight.cols && part.loraB.rows == part.weight.rows && part.loraB.cols == rank &&
             width(lora.out) == part.weight.rows,
         "shapes do not fit");
  part.loraOffset = step.tStride, part.loraFirst = step.lowRankStride;
  step.lowRankStride += size_t(padded(rank));
  step.tStride += isInteger(part.loraB.format) ? Quantised::stride(rank) : size_t(padded(rank)) * 4;
  step.hasLora = true;
  isFusedAway_[size_t(out)] = true;
  out = lora.out;
  return part;
}

void Lowering::emitLinear(Step step) {
  if (step.hasLora) {
    Step a = step;
    a.name = "adapter", a.run = steps::loraA;
    a.out = NONE, a.quantises = a.canQuantise = false;
    for (LoweredPart& part : a.parts) part.out = NONE;
    emit(std::move(a));
  }
  emit(std::move(step));
}

size_t Lowering::lowerLinears(size_t index) {
  const OperationSource& first = operations_[index];
  Step s = step("linear", steps::linear);
  std::vector<int> outs;
  size_t end = index, integers = 0;
  while (end < operations_.size() && operations_[end].is("linear") && operations_[end].inputs.x == first.inputs.x &&
         operations_[end].rows == first.rows && outs.size() < size_t(MAX_PARTS)) {
    int out = NONE;
    s.parts.push_back(linearPart(end, s, out));
    outs.push_back(out);
    integers += isInteger(s.parts.back().weight.format);
  }
  at_ = index;
  s.x = buffer(first.inputs.x);
  if (integers > 0) needQuantised(first.inputs.x);
  if (integers != 0 && integers != outs.size()) {
    // Integer and float weights need separate steps.
    Step integer = s, floating = s;
    integer.parts.clear(), floating.parts.clear();
    integer.integer = true;
    for (size_t i = 0; i < outs.size(); i++) {
      s.parts[i].out = buffer(outs[i]);
      (isInteger(s.parts[i].weight.format) ? integer : floating).parts.push_back(s.parts[i]);
    }
    emitLinear(std::move(integer)), emitLinear(std::move(floating));
    return end;
  }
  s.integer = integers > 0;
  const OperationSource* next = !keepsValues && end < operations_.size() ? &operations_[end] : nullptr;
  auto isReadOnce = [&](size_t part) { return reads_[size_t(outs[part])] == 1; };
  if (next && next->is("swiglu") && next->rows == first.rows && outs.size() == 2 && next->inputs.gate == outs[0] &&
      next->inputs.up == outs[1] && isReadOnce(0) && isReadOnce(1) && width(outs[0]) == width(outs[1]) &&
      width(next->out) == width(outs[0])) {
    s.epilogue = Epilogue::Swiglu, s.canQuantise = true;
    s.out = buffer(next->out);
    end++;
  } else if (next && next->is("add") && next->rows == first.rows && outs.size() == 1 && next->inputs.y == outs[0] &&
             isReadOnce(0) && find(next->inputs.x) == find(next->out) && width(next->out) == width(outs[0])) {
    s.epilogue = Epilogue::Add;
    s.parts[0].out = buffer(next->out);
    end++;
  } else {
    for (size_t i = 0; i < outs.size(); i++) s.parts[i].out = buffer(outs[i]);
  }
  emitLinear(std::move(s));
  return end;
}

void Lowering::lowerAttention(const OperationSource& op) {
  const auto& a = op.attributes;
  expect(a.layer == int(program_.layers.size()), "layers must count from 0");
  expect(a.headDim >= 2 && a.headDim % 2 == 0 && a.headDim <= 1024 && a.nKvHeads >= 1 && a.nHeads >= a.nKvHeads &&
             a.nHeads % a.nKvHeads == 0 && a.nHeads <= (1 << 16),
         "heads are out of range");
  expect(width(op.inputs.q) == a.nHeads * a.headDim && width(op.inputs.k) == a.nKvHeads * a.headDim &&
             width(op.inputs.v) == width(op.inputs.k) && width(op.out) == width(op.inputs.q),
         "shapes do not fit");
  expect(a.window >= 0, "the window is out of range");
  expect(op.rows == RowSet::Token || op.rows == RowSet::All, "expected on token rows or all rows");
  CacheLayer layer;
  layer.kvHeads = a.nKvHeads, layer.headDim = a.headDim, layer.dPad = padded(a.headDim);
  layer.headBytes = 2 * size_t(layer.dPad) * PAGE * (program_.halfCache ? 2 : 4);
  layer.pageBytes = layer.headBytes * size_t(layer.kvHeads);
  layer.before = program_.cachePageBytes;
  program_.cachePageBytes += layer.pageBytes;
  program_.layers.push_back(layer);
  bool isKnown = false;
  for (const HeadCounts& c : program_.headCounts) isKnown |= c.heads == a.nHeads && c.kvHeads == a.nKvHeads;
  if (!isKnown) program_.headCounts.push_back({a.nHeads, a.nKvHeads});

  Step store = step("rotateStore", steps::rotateStore);
  store.layer = a.layer, store.heads = a.nHeads, store.kvHeads = a.nKvHeads, store.headDim = a.headDim;
  store.x = buffer(op.inputs.q), store.y = buffer(op.inputs.k), store.v = buffer(op.inputs.v);
  int producer = producers_[size_t(op.inputs.q)];
  store.rotates = producer != NONE && absorbed_[size_t(producer)];
  expect(!store.rotates || int(program_.inverseFrequencies.size()) * 2 == a.headDim,
         "the rotary embedding has another size of heads");
  Buffer rotated;
  rotated.cols = rotated.width = a.nHeads * layer.dPad;
  store.rotated = int(program_.buffers.size());
  program_.buffers.push_back(rotated);
  Step attend = store;
  attend.name = "attention", attend.run = steps::attention;
  attend.x = attend.y = attend.v = NONE;
  attend.out = buffer(op.out), attend.window = a.window;
  // A group of activations must not span several heads of k and v.
  attend.canQuantise = a.nHeads / a.nKvHeads * a.headDim % GROUP == 0;
  emit(std::move(store)), emit(std::move(attend));
}

size_t Lowering::lowerLogits(size_t index) {
  const OperationSource& tokens = operations_[index];
  const OperationSource* masks = nullptr;
  size_t end = index + 1;
  if (end < operations_.size() && operations_[end].is("logits")) masks = &operations_[end++];
  expect(end == operations_.size() && tokens.inputs.x == source_.hidden && tokens.out == source_.logits,
         "expected the logits of the hidden state at the end of the list");
  expect(tokens.rows == RowSet::OutputToken && tokens.parameters.ids == NONE,
         "token rows have the logits of all tokens, and no other rows have");
  const DraftOutput& draft = weights().draft();
  const Matrix output = weights().matrix(tokens.parameters.weight);
  expect(output.rows == program_.vocab && output.cols == program_.hidden && width(source_.hidden) == program_.hidden,
         "shapes do not fit");
  bool isDraft = masks && masks->parameters.ids != NONE;
  if (masks) {
    expect(masks->inputs.x == tokens.inputs.x && masks->parameters.weight == tokens.parameters.weight &&
               masks->rows == RowSet::OutputMask && masks->out == source_.maskLogits &&
               width(masks->out) == (isDraft ? draft.size : program_.vocab),
           "the logits of MASK rows are expected to be of the same hidden state and matrix");
    isFusedAway_[size_t(masks->out)] = true;
    expect(isDraft || draft.size == program_.vocab, "the heads have a draft vocabulary, and MASK rows have none");
  }
  expect((masks != nullptr) == (source_.maskLogits != NONE), "the logits of MASK rows are missing");
  isFusedAway_[size_t(tokens.out)] = true;
  program_.output = output;
  program_.hiddenBuffer = buffer(source_.hidden);
  Step s = step("logits", steps::logits);
  s.x = program_.hiddenBuffer;
  s.integer = isInteger(output.format);
  if (s.integer) needQuantised(source_.hidden);
  s.parts.resize(1);
  s.parts[0].weight = output;
  if (masks && draft.isPrefix) s.rows = RowSet::Output;
  emit(s);
  if (!masks || draft.isPrefix) return end;
  s.rows = RowSet::OutputMask;
  s.parts[0].weight = draft.matrix;
  emit(std::move(s));
  return end;
}

namespace {

// The operations of a head: each reads the result of the previous one, and its other input.
class HeadList {
 public:
  HeadList(const HeadSource& head, const char* what, const char* form) : head_(head), what_(what), form_(form) {}

  // The next operation, which must be of this kind.
  const OperationSource& next(const char* kind) {
    if (at_ == head_.operations.size() || !head_.operations[at_].is(kind)) fail();
    return head_.operations[at_++];
  }
  void expect(bool holds) const {
    if (!holds) fail();
  }
  void end(int logits) const { expect(at_ == head_.operations.size() && logits == head_.logits); }

 private:
  [[noreturn]] void fail() const {
    throw std::invalid_argument(std::string(what_) + ": the native backend expects " + form_);
  }
  const HeadSource& head_;
  const char *what_, *form_;
  size_t at_ = 0;
};

void lowerSampler(const HeadSource& head, LoweredProgram& program) {
  HeadList list(head, "the sampler head", "h + w2 · silu(w1 · [h; embedding / rms]) and its logits");
  const OperationSource &embed = list.next("embed"), &norm = list.next("rmsnorm"), &concat = list.next("concat"),
                        &first = list.next("linear"), &silu = list.next("silu"), &second = list.next("linear"),
                        &add = list.next("add"), &logits = list.next("logits");
  list.end(logits.out);
  SamplerHead& out = program.samplerHead;
  out.first = program.weights.matrix(first.parameters.weight);
  out.second = program.weights.matrix(second.parameters.weight);
  out.epsilon = float(norm.attributes.epsilon);
  Matrix embedding = program.weights.matrix(embed.parameters.weight);
  int hidden = program.hidden;
  list.expect(embedding.data == program.embedding.data && norm.inputs.x == embed.out &&
              norm.parameters.weight == NONE && norm.attributes.width == hidden);
  list.expect(concat.inputs.x == head.hidden && concat.inputs.y == norm.out && first.inputs.x == concat.out);
  list.expect(silu.inputs.x == first.out && second.inputs.x == silu.out && add.inputs.x == head.hidden &&
              add.inputs.y == second.out && logits.inputs.x == add.out);
  list.expect(first.parameters.bias == NONE && second.parameters.bias == NONE);
  list.expect(out.first.cols == 2 * hidden && out.first.rows == out.second.cols && out.second.rows == hidden &&
              out.first.rows == hidden);
}

ExtraHead lowerExtra(const HeadSource& head, const LoweredProgram& program) {
  HeadList list(head, "an extra head", "h + silu(weight · h + bias) and its logits");
  const OperationSource &linear = list.next("linear"), &silu = list.next("silu"), &add = list.next("add"),
                        &logits = list.next("logits");
  list.end(logits.out);
  list.expect(linear.inputs.x == head.hidden && linear.parameters.bias != NONE && silu.inputs.x == linear.out);
  list.expect(add.inputs.x == head.hidden && add.inputs.y == silu.out && logits.inputs.x == add.out);
  ExtraHead out;
  out.weight = program.weights.matrix(linear.parameters.weight);
  out.bias = program.weights.vector(linear.parameters.bias, size_t(program.hidden));
  list.expect(out.weight.rows == program.hidden && out.weight.cols == program.hidden);
  return out;
}

}  // namespace

void lowerHeads(const ProgramSource& source, LoweredProgram& program) {
  for (const HeadSource& head : source.sampler) lowerSampler(head, program);
  for (const HeadSource& head : source.extraHeads) program.extraHeads.push_back(lowerExtra(head, program));
}

}  // namespace idlm
