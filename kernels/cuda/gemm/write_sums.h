// Writes a tile's sums: C = alpha * sums + beta * C.
#pragma once

#include "device/floats.h"
#include "gemm/matrix_tile.h"

namespace remoe {

// kRun adjacent elements of C, of which `count` exist. `wide`: they can be accessed at once.
template <int kRun, class C>
__device__ __forceinline__ void write_run(C* to, const float* sums, int count, bool wide,
                                          float alpha, float beta) {
  if (wide && count >= kRun) {
    float run[kRun] = {};
    if (beta != 0.0f) load_floats(to, run);
#pragma unroll
    for (int j = 0; j < kRun; j++) {
      run[j] = alpha * sums[j] + (beta != 0.0f ? beta * run[j] : 0.0f);
    }
    store_floats(to, run);
    return;
  }
#pragma unroll
  for (int j = 0; j < kRun; j++) {
    if (j >= count) break;
    const float before = beta != 0.0f ? beta * to_float(to[j]) : 0.0f;
    to[j] = to_element<C>(alpha * sums[j] + before);
  }
}

template <class Shape, class C>
__device__ __forceinline__ void write_sums(C* c, size_t stride, int rows, int columns, float alpha,
                                           float beta, const ThreadTile<Shape>& own,
                                           const Sums<Shape>& sums) {
  constexpr int kRun = ThreadTile<Shape>::kColumnRun;
  const bool wide = has_wide_rows(c, stride);
#pragma unroll
  for (int i = 0; i < Shape::kThreadRows; i++) {
    if (own.row(i) >= rows) continue;
#pragma unroll
    for (int j = 0; j < Shape::kThreadColumns; j += kRun) {
      const int column = own.column(j);
      write_run<kRun>(c + own.row(i) * stride + column, &sums[i][j], columns - column, wide, alpha,
                      beta);
    }
  }
}

}  // namespace remoe
