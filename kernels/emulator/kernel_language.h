// The names available to device code: qualifiers, indices, barriers, warp collectives, atomics.
#pragma once

#include <stdint.h>
#include <string.h>

#include "counter.h"
#include "runtime_api.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(bytes) alignas(bytes)

struct __align__(8) float2 {
  float x, y;
};

struct __align__(16) float4 {
  float x, y, z, w;
};

struct __align__(8) uint2 {
  unsigned x, y;
};

struct __align__(16) uint4 {
  unsigned x, y, z, w;
};

namespace remoe::emulator {

// The source location where a thread waits. A constructor's default arguments are evaluated at the
// call, those of an aggregate at the declaration (g++ 12).
struct Site {
  const char* file;
  int line;
  constexpr Site(const char* file_ = __builtin_FILE(), int line_ = __builtin_LINE())
      : file(file_), line(line_) {}
};

dim3 thread_index();
dim3 block_index();
dim3 block_size();
dim3 grid_size();
int lane_index();

void block_barrier(Site site);

// Runs `combine(mask, arguments)` once, in the last lane of `mask` to arrive, with pointers into
// the stacks of all of them. Shuffles and ballots do not order memory; __syncwarp does.
using Combine = void (*)(unsigned mask, void** arguments);
void warp_collective(unsigned mask, Combine combine, void* argument, bool orders_memory, Site site);

// Ends the launch with cudaErrorLaunchFailure; `what` becomes the error's text.
[[noreturn]] void fault(const char* what, Site site);

template <class T>
struct Exchange {
  T value;
  T result;
  int source;
  bool inside;
};

template <class T>
void exchange(unsigned mask, void** arguments) {
  for (int lane = 0; lane < 32; lane++) {
    if ((mask >> lane & 1) == 0) continue;
    auto* own = static_cast<Exchange<T>*>(arguments[lane]);
    own->inside = (mask >> own->source & 1) != 0;
    if (own->inside) own->result = static_cast<Exchange<T>*>(arguments[own->source])->value;
  }
}

template <class T>
T shuffle(unsigned mask, T value, int source, Site site) {
  Exchange<T> own{value, value, source, false};
  warp_collective(mask, exchange<T>, &own, false, site);
  if (!own.inside) fault("a shuffle reads a lane outside its mask", site);
  return own.result;
}

struct Vote {
  int value;
  unsigned result;
};

void ballot(unsigned mask, void** arguments);
void match_any(unsigned mask, void** arguments);

inline unsigned vote(unsigned mask, int value, Combine combine, Site site) {
  Vote own{value, 0};
  warp_collective(mask, combine, &own, false, site);
  return own.result;
}

// Join()(a, b) over the lanes' values, in every lane.
template <class Join>
unsigned reduce(unsigned mask, unsigned value, Join, Site site) {
  const Combine combine = [](unsigned lanes, void** arguments) {
    const unsigned first = static_cast<unsigned>(__builtin_ctz(lanes));
    unsigned joined = static_cast<unsigned>(static_cast<Vote*>(arguments[first])->value);
    for (unsigned lane = first + 1; lane < 32; lane++) {
      if ((lanes >> lane & 1) == 0) continue;
      joined = Join()(joined, static_cast<unsigned>(static_cast<Vote*>(arguments[lane])->value));
    }
    for (unsigned lane = first; lane < 32; lane++) {
      if ((lanes >> lane & 1) != 0) static_cast<Vote*>(arguments[lane])->result = joined;
    }
  };
  return vote(mask, static_cast<int>(value), combine, site);
}

// While it lives, its thread executes one ldmatrix, whose row this is, however the emulator reads
// it.
struct MatrixLoad {
  explicit MatrixLoad(const void* row) { counter::matrices_begin(row); }
  ~MatrixLoad() { counter::matrices_end(); }
  MatrixLoad(const MatrixLoad&) = delete;
  MatrixLoad& operator=(const MatrixLoad&) = delete;
};

}  // namespace remoe::emulator

#define threadIdx (::remoe::emulator::thread_index())
#define blockIdx (::remoe::emulator::block_index())
#define blockDim (::remoe::emulator::block_size())
#define gridDim (::remoe::emulator::grid_size())

// The call site is a default argument, so it is the line in the kernel.
#define REMOE_SITE ::remoe::emulator::Site site = ::remoe::emulator::Site()

inline void __syncthreads(REMOE_SITE) { ::remoe::emulator::block_barrier(site); }

inline void __syncwarp(unsigned mask = 0xffffffffu, REMOE_SITE) {
  ::remoe::emulator::warp_collective(mask, [](unsigned, void**) {}, nullptr, true, site);
}

template <class T>
T __shfl_sync(unsigned mask, T value, int source, REMOE_SITE) {
  return ::remoe::emulator::shuffle(mask, value, source & 31, site);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, REMOE_SITE) {
  return ::remoe::emulator::shuffle(mask, value, ::remoe::emulator::lane_index() ^ bits, site);
}

// Lanes without a partner keep their own value.
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, REMOE_SITE) {
  const int lane = ::remoe::emulator::lane_index();
  const int source = lane - static_cast<int>(delta);
  return ::remoe::emulator::shuffle(mask, value, source < 0 ? lane : source, site);
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, REMOE_SITE) {
  const int lane = ::remoe::emulator::lane_index();
  const int source = lane + static_cast<int>(delta);
  return ::remoe::emulator::shuffle(mask, value, source > 31 ? lane : source, site);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, REMOE_SITE) {
  return ::remoe::emulator::vote(mask, predicate, ::remoe::emulator::ballot, site);
}

inline unsigned __match_any_sync(unsigned mask, int value, REMOE_SITE) {
  return ::remoe::emulator::vote(mask, value, ::remoe::emulator::match_any, site);
}

inline unsigned __reduce_max_sync(unsigned mask, unsigned value, REMOE_SITE) {
  const auto larger = [](unsigned a, unsigned b) { return a > b ? a : b; };
  return ::remoe::emulator::reduce(mask, value, larger, site);
}

inline unsigned __reduce_min_sync(unsigned mask, unsigned value, REMOE_SITE) {
  const auto smaller = [](unsigned a, unsigned b) { return a < b ? a : b; };
  return ::remoe::emulator::reduce(mask, value, smaller, site);
}

inline unsigned __reduce_add_sync(unsigned mask, unsigned value, REMOE_SITE) {
  const auto sum = [](unsigned a, unsigned b) { return a + b; };
  return ::remoe::emulator::reduce(mask, value, sum, site);
}

#undef REMOE_SITE

inline float __uint_as_float(unsigned bits) { return __builtin_bit_cast(float, bits); }
inline unsigned __float_as_uint(float value) { return __builtin_bit_cast(unsigned, value); }
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32);
}
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __clz(int bits) { return bits == 0 ? 32 : __builtin_clz(static_cast<unsigned>(bits)); }

// Out of line, so that the checked build sees an atomic rather than a read and a write.
int atomicAdd(int* address, int value);
unsigned atomicAdd(unsigned* address, unsigned value);
unsigned long long atomicMin(unsigned long long* address, unsigned long long value);
