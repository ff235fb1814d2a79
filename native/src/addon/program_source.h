// Reads a program (src/compute/program/program.ts).
#pragma once
#include "addon/values.h"
#include "program/source.h"
#include "program/weights.h"

namespace idlm {

// `holds` keeps the views alive that the result points into: each access to a property may create a new view. Bytes of
// parameters that `shared` has packed are not read.
ProgramSource readProgram(const Fields& program, const BaseWeights* shared, Holds& holds);

}  // namespace idlm
