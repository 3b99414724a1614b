// Products with a handful of rows, as in generation: every element of B is read once, and the
// product takes as long as that.
//
// A block takes a strip of columns and a part of the depth. Its warps read whole rows of the strip,
// each every eighth one, and multiply them with the rows of A, which wait in shared memory. The
// warps' sums are added in their order.
#pragma once

#include "gemm/simt_product.h"

namespace remoe {

constexpr int kFewRowsThreads = 256;
constexpr int kFewRowsWarps = kFewRowsThreads / 32;
// Columns of a strip: four for each lane.
constexpr int kStrip = 32 * kFour;
// Depths of A in shared memory at once.
constexpr int kFewRowsDepth = 512;
// Rows of B that a warp has in flight.
constexpr int kAhead = 8;

template <int kRows>
struct FewRowsShared {
  alignas(16) float a[kFewRowsDepth][kRows];
  alignas(16) float sums[kRows][kStrip];
};

// Adds depths [0, depth) of B's strip times A, in shared.a, to a lane's four columns. `load(to, d)`
// reads the lane's four elements of row d of B.
template <int kRows, class T, class Load>
__device__ __forceinline__ void few_rows_step(const FewRowsShared<kRows>& shared, int depth,
                                              float (&sums)[kRows][kFour], Load&& load) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  for (int d0 = warp; d0 < depth; d0 += kAhead * kFewRowsWarps) {
    T four[kAhead][kFour];
#pragma unroll
    for (int l = 0; l < kAhead; l++) {
      const int d = d0 + l * kFewRowsWarps;
      if (d < depth) load(four[l], d);
    }
#pragma unroll
    for (int l = 0; l < kAhead; l++) {
      const int d = d0 + l * kFewRowsWarps;
      if (d >= depth) break;
#pragma unroll
      for (int i = 0; i < kRows; i++) {
        const float a = shared.a[d][i];
#pragma unroll
        for (int j = 0; j < kFour; j++) sums[i][j] += a * to_float(four[l][j]);
      }
    }
  }
}

// Adds up the warps' sums, into shared.sums.
template <int kRows>
__device__ __forceinline__ void add_warps(FewRowsShared<kRows>& shared,
                                          const float (&sums)[kRows][kFour]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  for (int w = 0; w < kFewRowsWarps; w++) {
    if (warp == w) {
#pragma unroll
      for (int i = 0; i < kRows; i++) {
        float4& to = *reinterpret_cast<float4*>(&shared.sums[i][lane * kFour]);
        float4 sum = {sums[i][0], sums[i][1], sums[i][2], sums[i][3]};
        if (w > 0) {
          const float4 before = to;
          sum = {before.x + sum.x, before.y + sum.y, before.z + sum.z, before.w + sum.w};
        }
        to = sum;
      }
    }
    __syncthreads();
  }
}

}  // namespace remoe
