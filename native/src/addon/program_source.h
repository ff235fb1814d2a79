// Reads a program (src/compute/program/program.ts).
#pragma once
#include "addon/values.h"
#include "program/source.h"
#include "program/weights.h"

namespace idlm {

// `holds` keeps the views that the result points into: a view may be made anew by each access to a property. Bytes of
// parameters that `shared` has packed are not asked for.
ProgramSource readProgram(const Fields& program, const BaseWeights* shared, Holds& holds);

}  // namespace idlm
