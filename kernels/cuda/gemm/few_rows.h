// Products with a handful of rows, as in generation: every element of B is read once, and the
// product takes as long as that.
//
// A block takes a strip of columns and a part of the depth. Groups of its threads read whole rows
// of the strip, in turns, and multiply them with the rows of A, which wait in shared memory. The
// groups' sums are added in their order.
#pragma once

#include "gemm/matrix_tile.h"

namespace remoe {

constexpr int kFewRowsThreads = 256;
// Depths of A in shared memory at once.
constexpr int kFewRowsDepth = 512;
// Rows of B that a thread has in flight.
constexpr int kAhead = 8;

// A strip of kColumns columns, four for each of a group of lanes: half a warp or a whole one.
template <int kRows_, int kColumns_>
struct Strip {
  static constexpr int kRows = kRows_;
  static constexpr int kColumns = kColumns_;
  static constexpr int kLanes = kColumns / kFour;
  static constexpr int kGroups = kFewRowsThreads / kLanes;
  static_assert(kLanes == 16 || kLanes == 32);

  // The strip's first column of the calling thread.
  static __device__ __forceinline__ int column() {
    return static_cast<int>(threadIdx.x) % kLanes * kFour;
  }
};

template <class S>
struct FewRowsShared {
  alignas(16) float a[kFewRowsDepth][S::kRows];
  alignas(16) float sums[S::kRows][S::kColumns];
};

template <class S>
using FewRowsSums = float[S::kRows][kFour];

// Adds depths [0, depth) of B's strip times A, in shared.a, to a thread's four columns. `load(to,
// d)` reads the thread's four elements of row d of B.
template <class S, class T, class Load>
__device__ __forceinline__ void few_rows_step(const FewRowsShared<S>& shared, int depth,
                                              FewRowsSums<S>& sums, Load&& load) {
  const int group = static_cast<int>(threadIdx.x) / S::kLanes;
  for (int d0 = group; d0 < depth; d0 += kAhead * S::kGroups) {
    T four[kAhead][kFour];
#pragma unroll
    for (int l = 0; l < kAhead; l++) {
      const int d = d0 + l * S::kGroups;
      if (d < depth) load(four[l], d);
    }
#pragma unroll
    for (int l = 0; l < kAhead; l++) {
      const int d = d0 + l * S::kGroups;
      if (d >= depth) break;
#pragma unroll
      for (int i = 0; i < S::kRows; i++) {
        const float a = shared.a[d][i];
#pragma unroll
        for (int j = 0; j < kFour; j++) sums[i][j] += a * to_float(four[l][j]);
      }
    }
  }
}

// Adds up the groups' sums in their order, into shared.sums.
template <class S>
__device__ __forceinline__ void add_groups(FewRowsShared<S>& shared, const FewRowsSums<S>& sums) {
  const int own = static_cast<int>(threadIdx.x) / S::kLanes;
  for (int group = 0; group < S::kGroups; group++) {
    if (own == group) {
#pragma unroll
      for (int i = 0; i < S::kRows; i++) {
        float4& to = *reinterpret_cast<float4*>(&shared.sums[i][S::column()]);
        float4 sum = {sums[i][0], sums[i][1], sums[i][2], sums[i][3]};
        if (group > 0) {
          const float4 before = to;
          sum = {before.x + sum.x, before.y + sum.y, before.z + sum.z, before.w + sum.w};
        }
        to = sum;
      }
    }
    __syncthreads();
  }
}

// The product of `rows` rows of A with B's strip over depths [begin, end), into shared.sums.
// at(row, d): an element of A. load(to, d): the thread's four elements of row d of B.
template <class S, class T, class At, class Load>
__device__ __forceinline__ void few_rows_product(FewRowsShared<S>& shared, int rows, int begin,
                                                 int end, At&& at, Load&& load) {
  const int thread = static_cast<int>(threadIdx.x);
  FewRowsSums<S> sums = {};
  for (int first = begin; first < end; first += kFewRowsDepth) {
    const int depth = end - first < kFewRowsDepth ? end - first : kFewRowsDepth;
    for (int i = thread; i < depth * S::kRows; i += kFewRowsThreads) {
      const int row = i / depth;
      const int d = i % depth;
      shared.a[d][row] = row < rows ? at(row, first + d) : 0.0f;
    }
    __syncthreads();
    few_rows_step<S, T>(shared, depth, sums, [&](T(&to)[kFour], int d) { load(to, first + d); });
    __syncthreads();
  }
  add_groups(shared, sums);
}

}  // namespace remoe
