// The OpenMP threads that a context really gets. A team may be smaller than requested
// (OMP_THREAD_LIMIT, OMP_MAX_ACTIVE_LEVELS, no more threads available), and code that splits work
// among more threads than arrive leaves a part undone.
#pragma once

#include <string>

namespace remoe {

struct Team {
  int threads;
  std::string limit;  // what keeps it below the number requested; empty if nothing does
};

// Starts a team of up to `wanted` threads, and counts its members.
Team measure_team(int wanted);

// Makes parallel regions of the calling thread request `threads`, and keeps OpenMP from choosing
// fewer.
void use_team(int threads) noexcept;

// Whether the calling thread's next region would have `threads`: OpenMP's settings are per thread,
// and a context may be used from a thread other than the one it was opened on.
bool has_team(int threads) noexcept;

}  // namespace remoe
