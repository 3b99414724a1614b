// Barriers, warp collectives and atomics.

#include <cstring>

#include "checker.h"
#include "counter.h"
#include "ordering.h"
#include "scheduler_state.h"

namespace remoe::emulator {
namespace {

std::string describe(const Site& site) {
  return std::string(site.file) + ":" + std::to_string(site.line);
}

bool same_site(const Site& a, const Site& b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

void check_call(const Block& block, const Fiber& self) {
  if ((self.mask >> self.lane & 1) == 0) {
    fault("a lane calls a warp collective with a mask that lacks it", self.site);
  }
  if ((self.mask & ~block.warps[self.warp].alive) != 0) {
    fault("a warp collective's mask names a lane that has exited or does not exist", self.site);
  }
}

void check_partner(const Fiber& self, const Fiber& other) {
  if (other.mask == self.mask && other.combine == self.combine) return;
  abort_launch("lanes of a warp meet in different collectives: lane " + std::to_string(self.lane) +
               " at " + describe(self.site) + ", lane " + std::to_string(other.lane) + " at " +
               describe(other.site));
}

// The last lane to arrive does the work for all of them.
void complete(Block& block, Fiber& self, bool orders_memory) {
  Fiber* lanes = &self - self.lane;
  void* arguments[32] = {};
  uint32_t latest = 0;
  for (int lane = 0; lane < 32; lane++) {
    if ((self.mask >> lane & 1) == 0) continue;
    check_partner(self, lanes[lane]);
    arguments[lane] = lanes[lane].argument;
    if (lanes[lane].warp_barriers > latest) latest = lanes[lane].warp_barriers;
  }
  block.combining = true;
  self.combine(self.mask, arguments);
  block.combining = false;
  if (orders_memory) ordering::meet_lanes(self.thread - self.lane, self.mask);
  if (self.mask == block.warps[self.warp].alive) counter::warp_meets(self.warp);
  block.warps[self.warp].arrived &= ~self.mask;
  for (int lane = 31; lane >= 0; lane--) {
    if ((self.mask >> lane & 1) == 0) continue;
    lanes[lane].state = State::kReady;
    if (orders_memory) lanes[lane].warp_barriers = latest + 1;
    if (&lanes[lane] != &self) block.ready.push_back(lanes[lane].thread);
  }
  requeue_current(block);
}

template <class T>
T add_atomically(T* address, T value, const void* caller) {
  checker::atomic_access(address, sizeof(T), caller);
  const T before = *address;  // nothing else runs meanwhile
  *address = before + value;
  return before;
}

}  // namespace

void fault(const char* what, Site site) {
  abort_launch(std::string(what) + " at " + describe(site));
}

void release_barrier(Block& block) {
  block.at_barrier = 0;
  ordering::meet_block();
  counter::block_meets();
  for (int i = 0; i < block.threads; i++) {
    Fiber& fiber = block.fibers[i];
    if (fiber.state != State::kAtBarrier) continue;
    fiber.state = State::kReady;
    fiber.barriers++;
    if (&fiber != block.current) block.ready.push_back(i);
  }
}

void block_barrier(Site site) {
  Block& block = running_block();
  Fiber& self = *block.current;
  self.site = site;
  self.state = State::kAtBarrier;
  if (++block.at_barrier < block.alive) return yield_fiber();
  for (int i = 0; i < block.threads; i++) {
    const Fiber& other = block.fibers[i];
    if (other.state != State::kAtBarrier || same_site(other.site, site)) continue;
    abort_launch("threads meet at different barriers: thread " + std::to_string(self.thread) +
                 " at " + describe(site) + ", thread " + std::to_string(i) + " at " +
                 describe(other.site));
  }
  release_barrier(block);
  requeue_current(block);
}

void warp_collective(unsigned mask, Combine combine, void* argument, bool orders_memory,
                     Site site) {
  Block& block = running_block();
  Fiber& self = *block.current;
  self.mask = mask;
  self.combine = combine;
  self.argument = argument;
  self.site = site;
  check_call(block, self);
  self.state = State::kAtCollective;
  unsigned& arrived = block.warps[self.warp].arrived;
  arrived |= 1u << self.lane;
  if ((arrived & mask) != mask) return yield_fiber();
  complete(block, self, orders_memory);
}

void ballot(unsigned mask, void** arguments) {
  unsigned bits = 0;
  for (int lane = 0; lane < 32; lane++) {
    if ((mask >> lane & 1) != 0 && static_cast<Vote*>(arguments[lane])->value != 0) {
      bits |= 1u << lane;
    }
  }
  for (int lane = 0; lane < 32; lane++) {
    if ((mask >> lane & 1) != 0) static_cast<Vote*>(arguments[lane])->result = bits;
  }
}

void match_any(unsigned mask, void** arguments) {
  for (int lane = 0; lane < 32; lane++) {
    if ((mask >> lane & 1) == 0) continue;
    auto* own = static_cast<Vote*>(arguments[lane]);
    own->result = 0;
    for (int other = 0; other < 32; other++) {
      if ((mask >> other & 1) != 0 && static_cast<Vote*>(arguments[other])->value == own->value) {
        own->result |= 1u << other;
      }
    }
  }
}

}  // namespace remoe::emulator

int atomicAdd(int* address, int value) {
  return remoe::emulator::add_atomically(address, value, __builtin_return_address(0));
}

unsigned atomicAdd(unsigned* address, unsigned value) {
  return remoe::emulator::add_atomically(address, value, __builtin_return_address(0));
}

unsigned long long atomicMin(unsigned long long* address, unsigned long long value) {
  remoe::emulator::checker::atomic_access(address, sizeof value, __builtin_return_address(0));
  const unsigned long long before = *address;
  if (value < before) *address = value;
  return before;
}
