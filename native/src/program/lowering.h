// Lowering of one list: what operations.cpp uses to turn an operation into steps, and patterns.cpp for several at once.
#pragma once
#include <string>
#include <vector>

#include "program/lowered.h"

namespace idlm {

class Lowering {
 public:
  Lowering(const ProgramSource& source, bool keepsValues, LoweredProgram& program);
  void run();

  // Whether every value has to be there at the end: then nothing is fused, and nothing is computed in place.
  const bool keepsValues;
  const Weights& weights() const { return program_.weights; }
  LoweredProgram& program() { return program_; }
  const ProgramSource& source() const { return source_; }

  [[noreturn]] void fail(const std::string& what) const;
  void expect(bool holds, const char* problem) const {
    if (!holds) fail(problem);
  }
  // Floats of a value per row.
  int width(int value) const { return valueAt(value).width; }
  RowSet rowsOf(int value) const { return valueAt(value).rows; }
  // The buffer of a value.
  int buffer(int value);
  // Reads of a value by operations that are not lowered yet, the present one included, and by results.
  int readsLeft(int value) const { return reads_[size_t(value)]; }
  // Whether the value's memory can be the result's: nothing else reads it any more.
  bool isLastRead(int value) const { return !keepsValues && readsLeft(value) == 1; }

  // A step on the rows of the present operation, which `emit` adds.
  Step step(const char* name, StepFunction run) const;
  void emit(Step step);
  // Whoever writes the buffer also writes what integer products read of it.
  void needQuantised(int value);

 private:
  const ValueSource& valueAt(int value) const;
  void countReads();
  void shareBuffers();
  int find(int value) const;
  void join(int a, int b);
  void absorbRopes();
  void allocate();
  // Patterns (patterns.cpp). Those of several operations return the index of the one behind them.
  size_t lowerLinears(size_t index);
  LoweredPart linearPart(size_t& index, Step& step, int& out);
  void emitLinear(Step step);
  size_t lowerLogits(size_t index);
  void lowerAttention(const OperationSource& op);

  const ProgramSource& source_;
  LoweredProgram& program_;
  const std::vector<OperationSource>& operations_;
  size_t at_ = 0;             // the operation that is lowered
  std::vector<int> parents_;  // union-find: values that share a buffer
  std::vector<int> buffers_;  // of the value at the root; NONE: not needed yet
  std::vector<int> reads_, producers_;
  std::vector<bool> absorbed_;     // ropes that an attention does
  std::vector<bool> isFusedAway_;  // values that have no memory
};

// An operation that becomes steps of its own; null where the kind is not known.
using LowerFunction = void (*)(Lowering& to, const OperationSource& op);
LowerFunction lowerFunction(const std::string& kind);

// Lowers the lists of the heads, of which two forms are known.
void lowerHeads(const ProgramSource& source, LoweredProgram& program);

}  // namespace idlm
