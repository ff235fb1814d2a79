// Reads a program (src/compute/native/native-program.ts).
#pragma once
#include "addon/values.h"
#include "program/model.h"

namespace idlm {

// `holds` keeps the views that the result points into: a view may be made anew by each access to a property.
ProgramSource readProgram(const Fields& program, Holds& holds);

}  // namespace idlm
