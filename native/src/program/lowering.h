// Lowers one list: operations.cpp turns single operations into steps, patterns.cpp several at once.
#pragma once
#include <string>
#include <vector>

#include "program/lowered.h"

namespace idlm {

class Lowering {
 public:
  Lowering(const ProgramSource& source, bool keepsValues, LoweredProgram& program);
  void run();

  // Whether every value is needed at the end: no fusion, no operations in place.
  const bool keepsValues;
  const Weights& weights() const { return program_.weights; }
  LoweredProgram& program() { return program_; }
  const ProgramSource& source() const { return source_; }

  [[noreturn]] void fail(const std::string& what) const;
  void expect(bool holds, const char* problem) const {
    if (!holds) fail(problem);
  }
  // Floats per row of a value.
  int width(int value) const { return valueAt(value).width; }
  RowSet rowsOf(int value) const { return valueAt(value).rows; }
  // The buffer of a value.
  int buffer(int value);
  // Remaining reads of a value, by this operation, later ones and results.
  int readsLeft(int value) const { return reads_[size_t(value)]; }
  // Whether the result may reuse the value's memory: nothing else reads it any more.
  bool isLastRead(int value) const { return !keepsValues && readsLeft(value) == 1; }

  // A step on the rows of the current operation, to be added by `emit`.
  Step step(const char* name, StepFunction run) const;
  void emit(Step step);
  // Makes the step that writes the buffer also quantise it for integer products.
  void needQuantised(int value);

 private:
  const ValueSource& valueAt(int value) const;
  void countReads();
  void shareBuffers();
  int find(int value) const;
  void join(int a, int b);
  void absorbRopes();
  void allocate();
  // Patterns (patterns.cpp). Those of several operations return the index after them.
  size_t lowerLinears(size_t index);
  LoweredPart linearPart(size_t& index, Step& step, int& out);
  void emitLinear(Step step);
  size_t lowerLogits(size_t index);
  void lowerAttention(const OperationSource& op);

  const ProgramSource& source_;
  LoweredProgram& program_;
  const std::vector<OperationSource>& operations_;
  size_t at_ = 0;             // the current operation
  std::vector<int> parents_;  // union-find: values that share a buffer
  std::vector<int> buffers_;  // of the value at the root; NONE: not needed yet
  std::vector<int> reads_, producers_;
  std::vector<bool> absorbed_;     // rope operations fused into attention
  std::vector<bool> isFusedAway_;  // values without memory
};

// Lowers one operation to steps; null: unknown kind.
using LowerFunction = void (*)(Lowering& to, const OperationSource& op);
LowerFunction lowerFunction(const std::string& kind);

// Lowers the lists of the heads, which must have one of two forms.
void lowerHeads(const ProgramSource& source, LoweredProgram& program);

}  // namespace idlm
