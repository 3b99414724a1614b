// Reductions over a block in an order fixed by the thread numbers.
#pragma once

#include "device/block_scan.h"

namespace remoe {

// Joins the values of a warp's lanes, in every lane.
template <class T, class Join>
__device__ __forceinline__ T warp_reduce(T value, Join join) {
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) {
    value = join(value, __shfl_xor_sync(kFullWarp, value, step));
  }
  return value;
}

// Joins the values of a block's threads, in every thread. `warp_values` is shared memory: the
// caller must synchronise before it is written again.
template <int kWarps, class T, class Join>
__device__ __forceinline__ T block_reduce(T value, T (&warp_values)[kWarps], Join join) {
  const int thread = static_cast<int>(threadIdx.x);
  value = warp_reduce(value, join);
  if (thread % kWarp == 0) warp_values[thread / kWarp] = value;
  __syncthreads();
  T result = warp_values[0];
#pragma unroll
  for (int warp = 1; warp < kWarps; warp++) result = join(result, warp_values[warp]);
  return result;
}

struct Add {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a + b;
  }
};

template <int kWarps, class T>
__device__ __forceinline__ T block_sum(T value, T (&warp_values)[kWarps]) {
  return block_reduce(value, warp_values, Add{});
}

}  // namespace remoe
