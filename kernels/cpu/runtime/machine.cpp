#include "runtime/machine.h"

#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>

#include "runtime/control_groups.h"

namespace remoe {

const char* name_of(Isa isa) {
  switch (isa) {
    case Isa::kAvx512Bf16:
      return "avx512_bf16";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kBaseline:
      break;
  }
  return "baseline";
}

std::vector<Isa> compiled_isas() {
#if defined(__x86_64__)
  return {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16};
#else
  return {Isa::kBaseline};
#endif
}

Isa best_isa() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("popcnt")) {
    fail(REMOE_UNSUPPORTED, "the processor lacks SSE4.2 or POPCNT, which this build requires");
  }
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (avx2 && avx512 && __builtin_cpu_supports("avx512bf16")) return Isa::kAvx512Bf16;
  if (avx2 && avx512) return Isa::kAvx512;
  if (avx2) return Isa::kAvx2;
#endif
  return Isa::kBaseline;
}

Isa chosen_isa() {
  const Isa machine = best_isa();
  const char* cap = std::getenv("REMOE_ISA");
  if (cap == nullptr || *cap == '\0') return machine;
  for (const Isa isa : {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16}) {
    if (std::string(cap) == name_of(isa)) return std::min(machine, isa);
  }
  fail(REMOE_INVALID_ARGUMENT,
       "REMOE_ISA is \"%s\", but must be baseline, avx2, avx512 or avx512_bf16", cap);
}

int available_cores() {
  // Rounded down: given a core and a half, two threads would be throttled in turn and wait on each
  // other.
  const double granted = std::floor(read_grant().cores);
  return static_cast<int>(std::clamp<double>(granted, 1, std::max(1, omp_get_num_procs())));
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "CPU";
}

uint64_t memory_bytes() {
  const uint64_t physical =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return std::min(physical, read_grant().memory_bytes);
}

}  // namespace remoe
