// Who last touched a byte, and when, by the only clocks that order threads on a GPU.
#pragma once

#include <cstdint>

namespace remoe::emulator::checker {

// 16 bytes. The fields are as wide as their clocks need: 2^32 launches and blocks, 2^26 barriers
// per thread and launch.
struct Stamp {
  static constexpr uint32_t kNever = 0;          // launch: by nobody
  static constexpr uint32_t kHost = 0xffffffff;  // launch: by the host
  static constexpr uint32_t kManyBlocks = 0xffffffff;
  static constexpr unsigned kWarpOf = 1024;  // thread: several of warp `thread - kWarpOf`
  static constexpr unsigned kManyWarps = 2047;

  uint32_t launch = kNever;
  uint32_t block = 0;
  uint64_t barriers : 26 = 0;
  uint64_t warp_barriers : 26 = 0;
  uint64_t thread : 11 = 0;

  bool is_never() const { return launch == kNever; }

  unsigned warp() const { return thread < kWarpOf ? thread / 32 : thread - kWarpOf; }

  // Whether this access happened before one that a thread makes now, stamped `now`: in program
  // order, before a __syncthreads that both passed, before a __syncwarp of their warp, or before
  // the launch. Blocks of one launch are never ordered. A differing clock suffices: the emulator
  // runs accesses one at a time, so the other clock cannot be ahead.
  bool is_before(const Stamp& now) const {
    if (launch != now.launch) return true;
    if (block != now.block) return false;
    if (barriers != now.barriers || thread == now.thread) return true;
    return thread != kManyWarps && warp() == now.warp() && warp_barriers != now.warp_barriers;
  }

  // Stands for this access and `now`, which are unordered, against all later ones.
  Stamp joined(const Stamp& now) const {
    Stamp both = now;
    both.block = block == now.block ? now.block : kManyBlocks;
    const bool one_warp = block == now.block && thread != kManyWarps && warp() == now.warp();
    both.thread = one_warp ? kWarpOf + now.warp() : kManyWarps;
    return both;
  }
};
static_assert(sizeof(Stamp) == 16, "the shadow holds three for every byte");

}  // namespace remoe::emulator::checker
