// The running block as the scheduler and the collectives share it. There is one: a process has
// one emulated device, and it runs one block at a time.
#pragma once

#include <random>
#include <vector>

#include "scheduler.h"

namespace remoe::emulator {

struct Warp {
  unsigned arrived = 0;  // lanes waiting in a collective
  unsigned alive = 0;
};

struct Block {
  std::vector<Fiber> fibers;  // grows to the largest block seen
  std::vector<Warp> warps;
  std::vector<int> ready;  // threads that may go on
  int threads = 0;
  int alive = 0;
  int at_barrier = 0;
  Fiber* current = nullptr;
  const Launch* launch = nullptr;
  dim3 index;
  uint32_t number = 0;
  bool combining = false;
  Suspended scheduler;
  std::string failure;
  std::mt19937_64 random;
  Order order = Order::kForward;
  uint64_t seed = 1;
};

// Inline, and not behind a function's guard: it is asked for at every access of a kernel.
extern Block the_block;
inline Block& running_block() { return the_block; }

// Suspends the current fiber, whose state says until when, and goes on with another.
void yield_fiber();

// Lets all threads that wait at the barrier go on.
void release_barrier(Block& block);

// Forward order runs a thread on after it completed a collective; the others make it queue again.
void requeue_current(Block& block);

}  // namespace remoe::emulator
