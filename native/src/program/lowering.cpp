#include "program/lowering.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "executor/steps.h"

namespace idlm {

namespace {

int padded(int n) { return (n + PANEL - 1) / PANEL * PANEL; }

// fn(value) for each input that is present.
template <class Fn>
void eachInput(const OperationSource& op, Fn fn) {
#define IDLM_INPUT(name) op.inputs.name,
  for (int value : {IDLM_INPUTS(IDLM_INPUT)})
    if (value != NONE) fn(value);
#undef IDLM_INPUT
}

// fn(buffer) for each buffer that a step reads or writes.
template <class Fn>
void eachBuffer(const Step& step, Fn fn) {
  for (int id : {step.x, step.y, step.v, step.out, step.gate, step.up, step.rotated})
    if (id != NONE) fn(id);
  for (const LoweredPart& part : step.parts)
    if (part.out != NONE) fn(part.out);
}

}  // namespace

Lowering::Lowering(const ProgramSource& source, bool keepsValues, LoweredProgram& program)
    : keepsValues(keepsValues),
      source_(source),
      program_(program),
      operations_(source.forward.operations),
      parents_(source.forward.values.size()),
      buffers_(parents_.size(), NONE),
      reads_(parents_.size(), 0),
      producers_(parents_.size(), NONE),
      absorbed_(operations_.size(), false),
      isFusedAway_(parents_.size(), false) {
  std::iota(parents_.begin(), parents_.end(), 0);
}

void Lowering::fail(const std::string& what) const {
  const OperationSource& op = operations_[at_];
  std::string out = op.out == NONE ? "" : " of " + valueAt(op.out).id;
  throw std::invalid_argument("operation " + op.kind + out + ": " + what);
}

const ValueSource& Lowering::valueAt(int value) const {
  if (value < 0 || size_t(value) >= source_.forward.values.size())
    throw std::invalid_argument("an operation's value is missing");
  return source_.forward.values[size_t(value)];
}

int Lowering::find(int value) const {
  while (parents_[size_t(value)] != value) value = parents_[size_t(value)];
  return value;
}

void Lowering::join(int a, int b) { parents_[size_t(find(b))] = find(a); }

int Lowering::buffer(int value) {
  int root = find((valueAt(value), value));
  int& id = buffers_[size_t(root)];
  if (id == NONE) {
    id = int(program_.buffers.size());
    Buffer b;
    b.cols = width(root), b.width = padded(b.cols);
    program_.buffers.push_back(b);
  }
  if (program_.buffers[size_t(id)].cols != width(value)) fail("values that share memory differ in width");
  return id;
}

Step Lowering::step(const char* name, StepFunction run) const {
  Step s;
  s.name = name, s.run = run, s.rows = operations_[at_].rows;
  return s;
}

void Lowering::emit(Step step) { program_.steps.push_back(std::move(step)); }

void Lowering::needQuantised(int value) {
  int id = buffer(value);
  Buffer& b = program_.buffers[size_t(id)];
  b.quantisedStride = Quantised::stride(b.cols);
  for (size_t i = program_.steps.size(); i-- > 0;) {
    Step& s = program_.steps[i];
    if (s.out != id) continue;
    if (s.rows != rowsOf(value)) break;
    if (s.quantises) return;
    if (!s.canQuantise) break;
    s.quantises = true;
    if (s.epilogue == Epilogue::Swiglu) s.epilogue = Epilogue::SwigluQuantised;
    return;
  }
  Step own = step("quantise", steps::quantise);
  own.rows = rowsOf(value), own.out = id, own.quantises = true;
  emit(own);
}

void Lowering::countReads() {
  std::vector<bool> written(parents_.size(), false);
  for (size_t i = 0; i < operations_.size(); i++) {
    at_ = i;
    const OperationSource& op = operations_[i];
    eachInput(op, [&](int value) {
      valueAt(value);
      if (!written[size_t(value)]) fail("reads a value that is not written before");
      reads_[size_t(value)]++;
    });
    valueAt(op.out);
    if (written[size_t(op.out)]) fail("writes a value a second time");
    written[size_t(op.out)] = true;
    producers_[size_t(op.out)] = int(i);
  }
  for (int result : {source_.hidden, source_.logits, source_.maskLogits})
    if (result != NONE && (valueAt(result), written[size_t(result)])) reads_[size_t(result)]++;
}

// Merges values that can share memory: a result with an input that nothing reads later, and values of token rows and
// MASK rows with the value that joins them.
void Lowering::shareBuffers() {
  std::vector<int> left = reads_;
  for (size_t i = 0; i < operations_.size(); i++) {
    at_ = i;
    const OperationSource& op = operations_[i];
    const auto& in = op.inputs;
    auto isLast = [&](int value) { return left[size_t(value)] == 1; };
    if (op.is("join")) {
      expect(isLast(in.token) && isLast(in.mask), "what it joins is read by nothing else");
      join(op.out, in.token), join(op.out, in.mask);
    }
    bool isInPlace = op.is("add") || op.is("rope") || (op.is("rmsnorm") && op.attributes.width < width(in.x));
    if (isInPlace && !keepsValues && isLast(in.x) && valueAt(in.x).rows == op.rows) join(in.x, op.out);
    eachInput(op, [&](int value) { left[size_t(value)]--; });
  }
}

// Fuses rotation of q and k into attention if nothing else reads the rotated values.
void Lowering::absorbRopes() {
  if (keepsValues) return;
  for (size_t i = 0; i < operations_.size(); i++) {
    at_ = i;
    const OperationSource& op = operations_[i];
    if (!op.is("attention")) continue;
    auto isOnlyRope = [&](int value) {
      valueAt(value);
      int producer = producers_[size_t(value)];
      return reads_[size_t(value)] == 1 && producer != NONE && operations_[size_t(producer)].is("rope") &&
             operations_[size_t(producer)].rows == op.rows &&
             reads_[size_t(operations_[size_t(producer)].inputs.x)] == 1;
    };
    if (!isOnlyRope(op.inputs.q) || !isOnlyRope(op.inputs.k)) continue;
    for (int value : {op.inputs.q, op.inputs.k}) absorbed_[size_t(producers_[size_t(value)])] = true;
  }
}

void Lowering::run() {
  countReads();
  shareBuffers();
  absorbRopes();
  for (size_t i = 0; i < operations_.size();) {
    at_ = i;
    const OperationSource& op = operations_[i];
    size_t next = i + 1;
    if (op.is("linear"))
      next = lowerLinears(i);
    else if (op.is("logits"))
      next = lowerLogits(i);
    else if (op.is("attention"))
      lowerAttention(op);
    else if (op.is("lora"))
      fail("must follow the linear operation that it adds to");
    else if (!absorbed_[i]) {
      LowerFunction lower = lowerFunction(op.kind);
      if (!lower) fail("the native backend does not know this kind");
      lower(*this, op);
    }
    for (; i < next; i++) eachInput(operations_[i], [&](int value) { reads_[size_t(value)]--; });
  }
  if (program_.hiddenBuffer == NONE || int(program_.layers.size()) != source_.nLayers)
    throw std::invalid_argument("the list has no logits, or not a layer of attention for each that the program counts");
  allocate();
}

// Lifetimes in steps, and the lowest offsets without overlap of buffers that are live at the same time.
void Lowering::allocate() {
  struct Block {
    size_t* offset;
    size_t size;
    int first, last;
  };
  int end = int(program_.steps.size());
  size_t n = program_.buffers.size();
  std::vector<Block> floats(n), quantised(n);
  for (size_t i = 0; i < n; i++) {
    Buffer& b = program_.buffers[i];
    floats[i] = {&b.offset, size_t(b.width), end, -1};
    quantised[i] = {&b.quantisedOffset, b.quantisedStride, end, -1};
  }
  auto touch = [&](Block& block, int at) {
    block.first = std::min(block.first, at), block.last = std::max(block.last, at);
  };
  for (int at = 0; at < end; at++) {
    const Step& step = program_.steps[size_t(at)];
    eachBuffer(step, [&](int id) { touch(floats[size_t(id)], at); });
    if (step.quantises) touch(quantised[size_t(step.out)], at);
    if (step.integer) touch(quantised[size_t(step.x)], at);
  }
  touch(floats[size_t(program_.hiddenBuffer)], end);
  auto place = [&](std::vector<Block>& blocks) {
    size_t width = 0;
    std::vector<const Block*> placed;
    std::vector<Block*> inOrder;
    for (Block& block : blocks)
      if (block.last >= 0 && block.size > 0) inOrder.push_back(&block);
    std::sort(inOrder.begin(), inOrder.end(), [](const Block* a, const Block* b) {
      return a->first != b->first ? a->first < b->first : a->offset < b->offset;
    });
    for (Block* block : inOrder) {
      size_t offset = 0;
      // `placed` is sorted by offset.
      for (const Block* other : placed) {
        bool overlaps = keepsValues || (other->first <= block->last && block->first <= other->last);
        if (overlaps && *other->offset < offset + block->size) offset = std::max(offset, *other->offset + other->size);
      }
      *block->offset = offset;
      auto at = std::upper_bound(placed.begin(), placed.end(), block,
                                 [](const Block* a, const Block* b) { return *a->offset < *b->offset; });
      placed.insert(at, block);
      width = std::max(width, offset + block->size);
    }
    return width;
  };
  program_.bufferWidth = place(floats);
  program_.quantisedWidth = place(quantised);
  program_.valueBuffers.assign(source_.forward.values.size(), NONE);
  program_.valueBuffers[size_t(source_.hidden)] = program_.hiddenBuffer;
  if (!keepsValues) return;
  for (size_t value = 0; value < parents_.size(); value++)
    if (!isFusedAway_[value]) program_.valueBuffers[value] = buffers_[size_t(find(int(value)))];
}

std::shared_ptr<LoweredProgram> lowerProgram(const ProgramSource& source, const LoweringOptions& options, Pool& pool) {
  auto program = std::make_shared<LoweredProgram>(source, options.shared);
  program->weights.pack(source, pool);
  LoweredProgram& p = *program;
  p.hidden = source.hiddenSize, p.vocab = source.vocabSize;
  p.halfCache = source.halfCache;
  p.inverseFrequencies = source.inverseFrequencies, p.attentionFactor = source.attentionFactor;
  p.hasMask = source.hasMask;
  p.nDepths = source.nDepths, p.entryLayer = source.entryLayer;
  p.values = source.forward.values;
  if (p.hidden < 1 || p.vocab < 1 || source.nLayers < 1) throw std::invalid_argument("the sizes are out of range");
  for (const ValueSource& value : p.values)
    if (value.width < 1 || value.width > (1 << 24))
      throw std::invalid_argument("value " + value.id + ": width " + std::to_string(value.width) + " is out of range");
  Lowering(source, options.keepsValues, p).run();
  lowerHeads(source, p);
  for (const Step& step : p.steps) {
    p.tWidth = std::max(p.tWidth, step.tStride);
    p.lowRankWidth = std::max(p.lowRankWidth, step.lowRankStride);
  }
  return program;
}

}  // namespace idlm
