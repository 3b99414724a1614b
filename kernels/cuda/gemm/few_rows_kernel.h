// The kernel of dense products with a handful of rows and B as stored.
#pragma once

#include "gemm/few_rows.h"
#include "gemm/simt_kernel.h"

namespace remoe {

// An element of A, of either type and either layout.
struct FewRowsOperand {
  const void* data;
  bool is_bf16;
  size_t row_stride;
  size_t depth_stride;

  __device__ __forceinline__ float at(int row, int depth) const {
    const size_t i = row * row_stride + depth * depth_stride;
    return is_bf16 ? to_float(static_cast<const Bf16*>(data)[i])
                   : static_cast<const float*>(data)[i];
  }
};

template <int kRows, class B>
__global__ void __launch_bounds__(kFewRowsThreads)
    few_rows_kernel(SimtProduct p, FewRowsOperand of_a) {
  auto& shared = gpu::shared<FewRowsShared<kRows>>();
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % 32;
  const int column = static_cast<int>(blockIdx.x) * kStrip;
  const int part = static_cast<int>(blockIdx.y);
  const int begin = part * p.split_depth;
  const int end = p.k - begin < p.split_depth ? p.k : begin + p.split_depth;
  const B* b = static_cast<const B*>(p.b) + column;
  const bool wide = has_wide_rows(b, p.ldb);
  float sums[kRows][kFour] = {};
  for (int first = begin; first < end; first += kFewRowsDepth) {
    const int depth = end - first < kFewRowsDepth ? end - first : kFewRowsDepth;
    for (int i = thread; i < depth * kRows; i += kFewRowsThreads) {
      // Along the rows of A, which is read across them only if it is transposed.
      const int row = i / depth;
      const int d = i % depth;
      shared.a[d][row] = row < p.m ? of_a.at(row, first + d) : 0.0f;
    }
    __syncthreads();
    few_rows_step<kRows, B>(shared, depth, sums, [&](B(&to)[kFour], int d) {
      load_four(to, b + (first + d) * p.ldb, lane * kFour, p.n - column, wide);
    });
    __syncthreads();
  }
  add_warps(shared, sums);
  for (int i = thread; i < p.m * (kStrip / kFour); i += kFewRowsThreads) {
    const int row = i / (kStrip / kFour);
    const int at = i % (kStrip / kFour) * kFour;
    const int count = p.n - column - at;
    const float* from = &shared.sums[row][at];
    if (p.partial != nullptr) {
      float* to = p.partial + (static_cast<size_t>(part) * p.m + row) * p.n + column + at;
      write_run<kFour>(to, from, count, p.n % kFour == 0, 1.0f, 0.0f);
    } else if (p.c_is_bf16) {
      Bf16* c = static_cast<Bf16*>(p.c);
      write_run<kFour>(c + row * p.ldc + column + at, from, count, has_wide_rows(c, p.ldc), p.alpha,
                       p.beta);
    } else {
      float* c = static_cast<float*>(p.c);
      write_run<kFour>(c + row * p.ldc + column + at, from, count, has_wide_rows(c, p.ldc), p.alpha,
                       p.beta);
    }
  }
}

}  // namespace remoe
