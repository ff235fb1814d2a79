// Steps that several operations are fused into; those of single operations are in operations.cpp.
#pragma once
#include "executor/run.h"

namespace idlm::steps {

void loraA(Run& run, const Step& step);
void linear(Run& run, const Step& step);
void logits(Run& run, const Step& step);
// Stores K and V of each row, rotated if the step says so, and lays out its queries for attention.
void rotateStore(Run& run, const Step& step);
void attention(Run& run, const Step& step);
void quantise(Run& run, const Step& step);

}  // namespace idlm::steps
