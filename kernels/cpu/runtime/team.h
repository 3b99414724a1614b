// The OpenMP threads that a context really gets. A team may be smaller than asked for
// (OMP_THREAD_LIMIT, OMP_MAX_ACTIVE_LEVELS, no more threads to be had), and code that splits work
// for more threads than come leaves a part undone.
#pragma once

#include <string>

namespace remoe {

struct Team {
  int threads;
  std::string limit;  // what keeps it below the number wanted; empty where nothing does
};

// Starts a team of up to `wanted` threads, and counts.
Team measure_team(int wanted);

// Makes parallel regions of the calling thread ask for `threads`, and OpenMP not choose fewer.
void use_team(int threads) noexcept;

// Whether the calling thread's next region would have `threads`: OpenMP's settings belong to a
// thread, and a context may be used from another than it was opened on.
bool has_team(int threads) noexcept;

}  // namespace remoe
