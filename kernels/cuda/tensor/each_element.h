// One launch over all elements of a target, in runs of 16 bytes where alignment allows.
#pragma once

#include "device/floats.h"
#include "runtime/operation.h"

namespace remoe {

constexpr unsigned kEachThreads = 256;
constexpr unsigned kEachBlocks = 8192;

// Elements per access such that one of the largest type fills 16 bytes.
template <class T, class Other = T>
constexpr int kWidth = 16 / static_cast<int>(sizeof(T) > sizeof(Other) ? sizeof(T) : sizeof(Other));

// Whether runs of kCount elements from `address` on can be accessed at once.
template <int kCount, class T>
bool starts_runs(const T* address) {
  return reinterpret_cast<uint64_t>(address) % (kCount * sizeof(T)) == 0;
}

// Calls body.at<kCount>(i) for runs of kCount elements from i on, then at<1> for those left.
template <int kCount, class Body>
__global__ void __launch_bounds__(kEachThreads) each_kernel(Body body, uint64_t count) {
  const uint64_t stride = static_cast<uint64_t>(gridDim.x) * kEachThreads;
  const uint64_t first = static_cast<uint64_t>(blockIdx.x) * kEachThreads + threadIdx.x;
  const uint64_t runs = count / kCount;
  for (uint64_t run = first; run < runs; run += stride) body.template at<kCount>(run * kCount);
  if constexpr (kCount > 1) {
    const uint64_t left = runs * kCount + first;
    if (left < count) body.template at<1>(left);
  }
}

// Enqueues `body` over `count` elements, by runs of kCount if `in_runs`.
template <int kCount, class Body>
void launch_each(Operation& op, const Body& body, uint64_t count, bool in_runs) {
  const auto launch = [&](auto kernel, uint64_t threads) {
    const dim3 grid(grid_blocks(threads, kEachThreads, kEachBlocks));
    op.launch(kernel, grid, dim3(kEachThreads), 0, body, count);
  };
  if (in_runs) {
    launch(each_kernel<kCount, Body>, count < kCount ? kCount : count / kCount);
  } else {
    launch(each_kernel<1, Body>, count);
  }
}

}  // namespace remoe
