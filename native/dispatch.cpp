#include "dispatch.h"

#include "isa/isa.h"

namespace qtool {

std::vector<const Kernels*> supported() {
  std::vector<const Kernels*> tables;
#ifdef QTOOL_X86
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512vnni")) {
    tables.push_back(&kAvx512Vnni);
  }
  if (__builtin_cpu_supports("avx2")) {
#ifdef QTOOL_AVX_VNNI
    if (__builtin_cpu_supports("avxvnni")) tables.push_back(&kAvxVnni);
#endif
    tables.push_back(&kAvx2);
  }
#endif
  tables.push_back(&kPortable);
  return tables;
}

const Kernels* find_kernels(const std::string& name) {
  for (const Kernels* kernels : supported()) {
    if (name == "auto" || name == kernels->name) return kernels;
  }
  return nullptr;
}

}  // namespace qtool
