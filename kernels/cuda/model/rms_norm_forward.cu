// RMSNorm: y = x * weight * r with r = 1/sqrt(mean(x^2) + epsilon). A warp takes a row at a time.

#include <cfloat>
#include <cmath>
#include <type_traits>

#include "model/rms_norm_row.h"
#include "runtime/dtype.h"

namespace remoe {
namespace {

template <class T>
struct NormArguments {
  T* y;
  float* inverse;  // or null
  const T* x;
  const float* weight;
  int rows;
  int columns;
  float epsilon;
};

// 1/sqrt(mean(x^2) + epsilon). In fp32 unless that overflows or underflows: squares overflow above
// 1.8e19, and underflow below 1e-19 unless epsilon hides it. `squares` is the same in all lanes.
template <class T>
__device__ __forceinline__ float inverse_root(const T* x, int columns, float squares,
                                              float epsilon) {
  const float mean = squares / static_cast<float>(columns) + epsilon;
  if (mean > 1e-30f && mean <= FLT_MAX) return 1.0f / sqrtf(mean);
  double exact = 0;
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x) % kWarp; i < columns; i += kWarp) {
    const double value = to_float(x[i]);
    exact += value * value;
  }
  return static_cast<float>(1 / sqrt(warp_sum(exact) / columns + epsilon));
}

template <class T, int kWidth, int kSteps>
__global__ void __launch_bounds__(kNormThreads) rms_norm_kernel(NormArguments<T> a) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int stride = static_cast<int>(gridDim.x) * kNormWarps;
  const int first =
      static_cast<int>(blockIdx.x) * kNormWarps + static_cast<int>(threadIdx.x) / kWarp;
  for (int64_t r = first; r < a.rows; r += stride) {
    const T* row = a.x + static_cast<size_t>(r) * a.columns;
    T* to = a.y + static_cast<size_t>(r) * a.columns;
    const NormRow<T, kWidth, kSteps> x(row, a.columns);
    float squares = 0.0f;
    for_each_vector<kWidth, kSteps>(a.columns, [&](int i, int column) {
      const auto v = x(i, column);
#pragma unroll
      for (int k = 0; k < kWidth; k++) squares += to_float(v.element[k]) * to_float(v.element[k]);
    });
    const float inverse = inverse_root(row, a.columns, warp_sum(squares), a.epsilon);
    if (lane == 0 && a.inverse != nullptr) a.inverse[r] = inverse;
    for_each_vector<kWidth, kSteps>(a.columns, [&](int i, int column) {
      auto v = x(i, column);
      Floats<kWidth> weight;
      weight.load(a.weight + column);
#pragma unroll
      for (int k = 0; k < kWidth; k++) {
        v.element[k] = to_element<T>(to_float(v.element[k]) * inverse * weight[k]);
      }
      store_vector(to + column, v);
    });
  }
}

}  // namespace
}  // namespace remoe

int32_t remoe_rms_norm_forward(uint64_t context, int32_t dtype, uint64_t y, uint64_t inverse,
                               uint64_t x, uint64_t weight, int32_t rows, int32_t columns,
                               float epsilon) {
  using namespace remoe;
  return guard(context, "rms_norm_forward", [&](Operation& op) {
    require_size(rows, "rows");
    require_size(columns, "columns");
    with_activations(dtype, [&](auto element) {
      using T = decltype(element);
      const NormArguments<T> a = {
          .y = require_address<T>(y, "y"),
          .inverse = optional_address<float>(inverse, "inverse"),
          .x = require_address<const T>(x, "x"),
          .weight = require_address<const float>(weight, "weight"),
          .rows = rows,
          .columns = columns,
          .epsilon = epsilon,
      };
      // A row or two of a warp: blocks that replace each other leave no partial wave at the end.
      const unsigned most = 16 * static_cast<unsigned>(op.context.multiprocessors);
      with_norm_row<T>(columns, y | x | weight, [&](auto width, auto steps) {
        op.launch(rms_norm_kernel<T, width.value, steps.value>,
                  dim3(grid_blocks(rows, kNormWarps, most)), dim3(kNormThreads), 0, a);
      });
    });
  });
}
