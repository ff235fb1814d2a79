// Selects kernels for this CPU.
#pragma once
#include <string>
#include <vector>

#include "kernels/table.h"

namespace idlm {

// "avx512vnni", "avx2", "scalar": those that were built and that this CPU supports, best first.
const std::vector<std::string>& supportedIsas();
// Null if not supported.
const KernelTable* kernelTable(const std::string& isa);

}  // namespace idlm
