// The machine the library runs on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/context.h"

namespace remoe {

const char* name_of(Isa isa);

// Instruction sets this build was compiled for, baseline first.
std::vector<Isa> compiled_isas();

// The best instruction set that both the build and the machine support. Throws if the machine lacks
// the baseline.
Isa best_isa();

// best_isa(), or a lesser one if the environment variable REMOE_ISA (baseline, avx2, avx512,
// avx512_bf16) caps it, to test what other machines run.
Isa chosen_isa();

// Cores this process may use: its affinity, or fewer if a container limits its CPU time.
int available_cores();

std::string processor_name();
// The machine's memory, or less if control groups limit it.
uint64_t memory_bytes();

}  // namespace remoe
