#include "kernels/dispatch.h"

namespace idlm {

#if defined(__x86_64__)
namespace avx512vnni {
extern const KernelTable table;
}
namespace avx2 {
extern const KernelTable table;
}
#endif
namespace scalar {
extern const KernelTable table;
}

const std::vector<std::string>& supportedIsas() {
  static const std::vector<std::string> list = [] {
    std::vector<std::string> result;
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vnni"))
      result.push_back("avx512vnni");
    if (avx2) result.push_back("avx2");
#endif
    result.push_back("scalar");
    return result;
  }();
  return list;
}

const KernelTable* kernelTable(const std::string& isa) {
  for (const std::string& name : supportedIsas()) {
    if (name != isa) continue;
#if defined(__x86_64__)
    if (isa == "avx512vnni") return &avx512vnni::table;
    if (isa == "avx2") return &avx2::table;
#endif
    return &scalar::table;
  }
  return nullptr;
}

}  // namespace idlm
