// Softmax over rows, and its gradient. A group of threads reads its row twice, the second time from
// a cache: for the statistics, and for the result.

#include <cmath>

#include "device/block_reduce.h"
#include "runtime/dtype.h"
#include "tensor/each_element.h"

namespace remoe {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;

// The largest element of those seen, and the sum of e^(x - largest).
struct Statistics {
  float largest;
  float sum;
};

// What to subtract before exponentiating: -infinity less itself would be NaN, but is a 0 beside
// finite elements.
__device__ __forceinline__ float shift_of(float largest) {
  return largest == -INFINITY ? 0.0f : largest;
}

struct JoinStatistics {
  __device__ __forceinline__ Statistics operator()(Statistics a, Statistics b) const {
    const float largest = fmaxf(a.largest, b.largest);
    const float shift = shift_of(largest);
    return {largest, a.sum * expf(a.largest - shift) + b.sum * expf(b.largest - shift)};
  }
};

// Which row a thread's group has, and the thread's place in it: a block if kIsBlock, else `width`
// lanes of a warp.
template <bool kIsBlock>
struct RowGroup {
  int width;
  int lane;
  int64_t row;

  __device__ __forceinline__ explicit RowGroup(int lanes)
      : width(kIsBlock ? kThreads : lanes),
        lane(static_cast<int>(threadIdx.x) % width),
        row(static_cast<int64_t>(blockIdx.x) * (kThreads / width) + threadIdx.x / width) {}

  template <class Join>
  __device__ __forceinline__ float joined(float value, Join join) const {
    if constexpr (kIsBlock) {
      return block_reduce(value, gpu::shared<float[kWarps]>(), join);
    } else {
      for (int step = width / 2; step > 0; step /= 2) {
        value = join(value, __shfl_xor_sync(kFullWarp, value, step));
      }
      return value;
    }
  }

  __device__ __forceinline__ Statistics joined(Statistics own) const {
    constexpr JoinStatistics join;
    const int most = kIsBlock ? kWarp : width;
    for (int step = most / 2; step > 0; step /= 2) {
      own = join(own, {__shfl_xor_sync(kFullWarp, own.largest, step),
                       __shfl_xor_sync(kFullWarp, own.sum, step)});
    }
    if constexpr (kIsBlock) {
      auto& warps = gpu::shared<Statistics[kWarps]>();
      if (lane % kWarp == 0) warps[lane / kWarp] = own;
      __syncthreads();
      own = warps[0];
      for (int warp = 1; warp < kWarps; warp++) own = join(own, warps[warp]);
    }
    return own;
  }
};

struct SoftmaxSizes {
  int rows;
  int columns;
  int width;  // lanes of a group within a warp
};

template <bool kIsBlock, int kCount, class T>
__global__ void __launch_bounds__(kThreads)
    softmax_kernel(T* target, const T* x, SoftmaxSizes sizes) {
  const RowGroup<kIsBlock> group(sizes.width);
  const int64_t first = group.row * sizes.columns;
  const int columns = group.row < sizes.rows ? sizes.columns : 0;
  Statistics own = {-INFINITY, 0.0f};
  for (int64_t j = group.lane * kCount; j < columns; j += group.width * kCount) {
    float value[kCount];
    load_floats(x + first + j, value);
    float largest = own.largest;
#pragma unroll
    for (int k = 0; k < kCount; k++) largest = fmaxf(largest, value[k]);
    const float shift = shift_of(largest);
    own = {largest, own.sum * expf(own.largest - shift)};
#pragma unroll
    for (int k = 0; k < kCount; k++) own.sum += expf(value[k] - shift);
  }
  const Statistics all = group.joined(own);
  const float scale = 1.0f / all.sum;
  for (int64_t j = group.lane * kCount; j < columns; j += group.width * kCount) {
    float value[kCount];
    load_floats(x + first + j, value);
#pragma unroll
    for (int k = 0; k < kCount; k++) value[k] = expf(value[k] - all.largest) * scale;
    store_floats(target + first + j, value);
  }
}

template <class T>
struct GradientArguments {
  T* dx;  // may be dy or y
  const T* dy;
  const T* y;
  SoftmaxSizes sizes;
  bool accumulate;
};

template <bool kIsBlock, int kCount, class T>
__global__ void __launch_bounds__(kThreads) softmax_gradient_kernel(GradientArguments<T> a) {
  const RowGroup<kIsBlock> group(a.sizes.width);
  const int64_t first = group.row * a.sizes.columns;
  const int columns = group.row < a.sizes.rows ? a.sizes.columns : 0;
  float dot = 0.0f;
  for (int64_t j = group.lane * kCount; j < columns; j += group.width * kCount) {
    float gradient[kCount];
    float value[kCount];
    load_floats(a.dy + first + j, gradient);
    load_floats(a.y + first + j, value);
#pragma unroll
    for (int k = 0; k < kCount; k++) dot = fmaf(gradient[k], value[k], dot);
  }
  dot = group.joined(dot, Add{});
  for (int64_t j = group.lane * kCount; j < columns; j += group.width * kCount) {
    float gradient[kCount];
    float value[kCount];
    load_floats(a.dy + first + j, gradient);
    load_floats(a.y + first + j, value);
#pragma unroll
    for (int k = 0; k < kCount; k++) gradient[k] = value[k] * (gradient[k] - dot);
    if (a.accumulate) {
      load_floats(a.dx + first + j, value);
#pragma unroll
      for (int k = 0; k < kCount; k++) gradient[k] += value[k];
    }
    store_floats(a.dx + first + j, gradient);
  }
}

// Calls launch(is_block, sizes, grid) with groups that suit rows of `runs` runs.
template <class Launch>
void with_groups(int rows, int columns, int count, Launch&& launch) {
  constexpr int kMostRuns = 16;  // of a lane
  const int runs = (columns + count - 1) / count;
  SoftmaxSizes sizes = {.rows = rows, .columns = columns, .width = 1};
  while (sizes.width < kWarp && sizes.width < runs) sizes.width *= 2;
  const bool is_block = runs > kMostRuns * kWarp;
  const int in_block = is_block ? 1 : kThreads / sizes.width;
  launch(is_block, sizes, dim3(static_cast<unsigned>((rows + int64_t{in_block} - 1) / in_block)));
}

template <int kCount, class T>
void softmax(Operation& op, T* target, const T* x, int rows, int columns) {
  with_groups(rows, columns, kCount, [&](bool is_block, const SoftmaxSizes& sizes, dim3 grid) {
    op.launch(is_block ? softmax_kernel<true, kCount, T> : softmax_kernel<false, kCount, T>, grid,
              dim3(kThreads), sizeof(Statistics[kWarps]), target, x, sizes);
  });
}

template <int kCount, class T>
void softmax_gradient(Operation& op, GradientArguments<T> a, int rows, int columns) {
  with_groups(rows, columns, kCount, [&](bool is_block, const SoftmaxSizes& sizes, dim3 grid) {
    a.sizes = sizes;
    op.launch(is_block ? softmax_gradient_kernel<true, kCount, T>
                       : softmax_gradient_kernel<false, kCount, T>,
              grid, dim3(kThreads), sizeof(float[kWarps]), a);
  });
}

}  // namespace
}  // namespace remoe

using namespace remoe;

int32_t remoe_softmax(uint64_t context, int32_t dtype, uint64_t target, uint64_t x, int32_t rows,
                      int32_t columns) {
  return guard(context, "softmax", [&](Operation& op) {
    require_size(rows, "rows");
    require_size(columns, "columns");
    require_float(dtype);
    void* to = require_elements(target, dtype, "target");
    const void* from = require_elements(x, dtype, "x");
    with_activations(dtype, [&](auto type) {
      using T = decltype(type);
      constexpr int kCount = kWidth<T>;
      auto* y = static_cast<T*>(to);
      const auto* logits = static_cast<const T*>(from);
      if (columns % kCount == 0 && starts_runs<kCount>(y) && starts_runs<kCount>(logits)) {
        softmax<kCount>(op, y, logits, rows, columns);
      } else {
        softmax<1>(op, y, logits, rows, columns);
      }
    });
  });
}

int32_t remoe_softmax_gradient(uint64_t context, int32_t dtype, uint64_t dx, uint64_t dy,
                               uint64_t y, int32_t rows, int32_t columns, int32_t accumulate) {
  return guard(context, "softmax_gradient", [&](Operation& op) {
    require_size(rows, "rows");
    require_size(columns, "columns");
    require_float(dtype);
    void* to = require_elements(dx, dtype, "dx");
    const void* from = require_elements(dy, dtype, "dy");
    const void* values = require_elements(y, dtype, "y");
    with_activations(dtype, [&](auto type) {
      using T = decltype(type);
      constexpr int kCount = kWidth<T>;
      const GradientArguments<T> a = {.dx = static_cast<T*>(to),
                                      .dy = static_cast<const T*>(from),
                                      .y = static_cast<const T*>(values),
                                      .sizes = {},
                                      .accumulate = (accumulate & 1) != 0};
      if (columns % kCount == 0 && starts_runs<kCount>(a.dx) && starts_runs<kCount>(a.dy) &&
          starts_runs<kCount>(a.y)) {
        softmax_gradient<kCount>(op, a, rows, columns);
      } else {
        softmax_gradient<1>(op, a, rows, columns);
      }
    });
  });
}
