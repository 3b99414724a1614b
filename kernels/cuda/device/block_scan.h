// Warp and block scans and reductions. Each adds in an order fixed by the lane numbers, so
// floating-point results are bitwise reproducible.
#pragma once

#include "device/gpu.h"

namespace remoe {

constexpr unsigned kFullWarp = 0xffffffffu;
constexpr int kWarp = 32;

// Sum over the lanes of a warp, in every lane.
template <class T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) value += __shfl_xor_sync(kFullWarp, value, step);
  return value;
}

// Sum over the lanes up to and including this one (Hillis and Steele).
__device__ __forceinline__ uint32_t warp_inclusive_scan(uint32_t value) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int step = 1; step < kWarp; step *= 2) {
    const uint32_t below = __shfl_up_sync(kFullWarp, value, step);
    if (lane >= step) value += below;
  }
  return value;
}

// Sum over the threads before this one; `total` receives the sum over the block. `warp_totals` is
// shared memory: the caller must synchronise before it is written again.
template <int kThreads>
__device__ __forceinline__ uint32_t block_exclusive_scan(uint32_t value,
                                                         uint32_t (&warp_totals)[kThreads / kWarp],
                                                         uint32_t& total) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const uint32_t inclusive = warp_inclusive_scan(value);
  if (lane == kWarp - 1) warp_totals[warp] = inclusive;
  __syncthreads();
  uint32_t before = 0;
  total = 0;
#pragma unroll
  for (int w = 0; w < kThreads / kWarp; w++) {
    if (w < warp) before += warp_totals[w];
    total += warp_totals[w];
  }
  return before + inclusive - value;
}

}  // namespace remoe
