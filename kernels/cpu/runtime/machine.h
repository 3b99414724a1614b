// Facts of the machine the library runs on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/context.h"

namespace remoe {

const char* name_of(Isa isa);

// What this build was compiled for, from the plainest up.
std::vector<Isa> compiled_isas();

// The best instruction set of both the build and the machine. Throws where the machine lacks the
// plainest.
Isa best_isa();

// best_isa(), or less where the environment variable REMOE_ISA (baseline, avx2, avx512) says so,
// for tests of what other machines run.
Isa chosen_isa();

// Cores this process may use: its affinity, or less where a container limits the processor time.
int available_cores();

std::string processor_name();
// The machine's memory, or less where control groups grant less.
uint64_t memory_bytes();

}  // namespace remoe
