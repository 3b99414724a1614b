// The running block, shared by the scheduler and the collectives. There is only one: a process has
// one emulated device, which runs one block at a time.
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
  std::vector<int> ready;  // threads that may run
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

// A plain global rather than a function-local static, since every access of a kernel reads it.
extern Block the_block;
inline Block& running_block() { return the_block; }

// Suspends the current fiber, whose state says until when, and resumes another.
void yield_fiber();

// Releases all threads waiting at the barrier.
void release_barrier(Block& block);

// In forward order a thread runs on after completing a collective; in the others it queues again.
void requeue_current(Block& block);

}  // namespace remoe::emulator
