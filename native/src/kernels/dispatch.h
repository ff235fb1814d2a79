// Which kernels this CPU can run.
#pragma once
#include <string>
#include <vector>

#include "kernels/table.h"

namespace idlm {

// "avx512vnni", "avx2", "scalar": those that were built and that this CPU runs, best first.
const std::vector<std::string>& supportedIsas();
// Null where it is not supported.
const KernelTable* kernelTable(const std::string& isa);

}  // namespace idlm
