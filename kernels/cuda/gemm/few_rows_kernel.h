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

template <class S, class B>
__global__ void __launch_bounds__(kFewRowsThreads)
    few_rows_kernel(SimtProduct p, FewRowsOperand of_a) {
  auto& shared = gpu::shared<FewRowsShared<S>>();
  const int column = static_cast<int>(blockIdx.x) * S::kColumns;
  const int part = static_cast<int>(blockIdx.y);
  const int begin = part * p.split_depth;
  const int end = p.k - begin < p.split_depth ? p.k : begin + p.split_depth;
  const B* b = static_cast<const B*>(p.b) + column;
  const bool wide = has_wide_rows(b, p.ldb);
  few_rows_product<S, B>(
      shared, p.m, begin, end, [&](int row, int d) { return of_a.at(row, d); },
      [&](B(&to)[kFour], int d) { load_run(to, b + d * p.ldb, S::column(), p.n - column, wide); });
  for (int i = static_cast<int>(threadIdx.x); i < p.m * S::kLanes; i += kFewRowsThreads) {
    const int row = i / S::kLanes;
    const int at = i % S::kLanes * kFour;
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
