// The fibers of one block, and whose turn it is.
#pragma once

#include <cstdint>
#include <string>

#include "fiber.h"
#include "launch.h"

namespace remoe::emulator {

// The order in which the runnable threads of a block, and the blocks of a grid, are resumed.
// Threads far apart reveal more than threads in step: kPriority draws a priority for every warp and
// lane of a block, and the highest runs as far as it can.
enum class Order : int32_t { kForward = 0, kReverse = 1, kRandom = 2, kPriority = 3 };

enum class State { kReady, kAtBarrier, kAtCollective, kWaiting, kDone };

struct Fiber {
  Suspended suspended;
  Stack stack;
  dim3 index;
  int thread = 0;  // linear in the block
  int lane = 0;
  int warp = 0;
  State state = State::kDone;
  uint32_t priority = 0;
  Site site;
  // While in a warp collective.
  unsigned mask = 0;
  Combine combine = nullptr;
  void* argument = nullptr;
  const void* waits_on = nullptr;  // while waiting: a barrier in shared memory, or a named one
  // Barriers and __syncwarps passed, from which the race checker derives "before" and "after".
  uint32_t barriers = 0;
  uint32_t warp_barriers = 0;
};

void set_order(Order order, uint64_t seed);

// Runs a grid. Returns what went wrong, or an empty string.
std::string run_grid(const Launch& launch);

// Ends the launch with this text; called from a thread of the running block.
[[noreturn]] void abort_launch(std::string text);

}  // namespace remoe::emulator
