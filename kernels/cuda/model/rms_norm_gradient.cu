// Gradients of RMSNorm. With n = x r, r = 1/rms and y = n w:
//
//   dx_i = r (w_i dy_i - n_i <w dy, n> / D)    dw_i = sum over the rows of dy_i n_i
//
// The first term of dx is y's dependence on x_i directly, the second through r. A warp takes a row
// at a time and, where rows are held in registers, sums its part of dw on the way. The parts are
// added per block and then over the blocks, always in the same order.

#include <type_traits>

#include "model/rms_norm_row.h"
#include "runtime/dtype.h"

namespace remoe {
namespace {

// Bits of `accumulate`.
enum : int { kDx = 1, kDweight = 2 };

template <class T>
struct NormGradientArguments {
  T* dx;           // or null
  float* partial;  // [blocks, columns], shares of dweight; or null
  const T* dy;
  const float* inverse;
  const T* x;
  const float* weight;
  int rows;
  int columns;
  bool adds;  // to dx
};

struct ColumnSums {
  float of[4];  // all columns
};

// Adds the warps' sums in their order and writes the block's.
template <int kWidth, int kSteps>
__device__ __forceinline__ void write_partial(ColumnSums& shared, Floats<kWidth> (&dw)[kSteps],
                                              float* partial, int columns) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  for (int w = 0; w < kNormWarps; w++) {
    if (w == warp) {
      for_each_vector<kWidth, kSteps>(columns, [&](int i, int column) {
        if (w > 0) {
          Floats<kWidth> before;
          before.load(shared.of + column);
#pragma unroll
          for (int k = 0; k < kWidth; k++) dw[i][k] += before[k];
        }
        dw[i].store(shared.of + column);
      });
    }
    __syncthreads();
  }
  for (int c = static_cast<int>(threadIdx.x); c < columns; c += kNormThreads) {
    partial[static_cast<size_t>(blockIdx.x) * columns + c] = shared.of[c];
  }
}

// Blocks whose registers a multiprocessor holds, where a lane holds `elements` of x, dy and
// dweight.
template <class T>
constexpr int resident_blocks(int elements) {
  constexpr bool kNarrow = sizeof(T) == sizeof(Bf16);
  if (elements <= 8) return 4;
  if (elements <= 24) return kNarrow ? 3 : 2;
  return elements <= (kNarrow ? 48 : 32) ? 2 : 1;
}

template <class T, int kWidth, int kSteps>
__global__ void __launch_bounds__(kNormThreads, resident_blocks<T>(kWidth* kSteps))
    rms_norm_gradient_kernel(NormGradientArguments<T> a) {
  constexpr bool kHeld = kSteps > 0;
  const int stride = static_cast<int>(gridDim.x) * kNormWarps;
  const int first =
      static_cast<int>(blockIdx.x) * kNormWarps + static_cast<int>(threadIdx.x) / kWarp;
  Floats<kWidth> dw[kHeld ? kSteps : 1] = {};
  for (int64_t r = first; r < a.rows; r += stride) {
    const size_t start = static_cast<size_t>(r) * a.columns;
    const NormRow<T, kWidth, kSteps> x(a.x + start, a.columns);
    const NormRow<T, kWidth, kSteps> dy(a.dy + start, a.columns);
    const float inverse = a.inverse[r];
    float projection = 0.0f;
    for_each_vector<kWidth, kSteps>(a.columns, [&](int i, int column) {
      const auto xs = x(i, column);
      const auto gradients = dy(i, column);
      Floats<kWidth> weight;
      weight.load(a.weight + column);
#pragma unroll
      for (int k = 0; k < kWidth; k++) {
        const float g = to_float(gradients.element[k]);
        const float n = to_float(xs.element[k]) * inverse;
        projection += weight[k] * g * n;
        if constexpr (kHeld) dw[i][k] += g * n;
      }
    });
    if (a.dx == nullptr) continue;
    const float mean = warp_sum(projection) / static_cast<float>(a.columns);
    for_each_vector<kWidth, kSteps>(a.columns, [&](int i, int column) {
      const auto xs = x(i, column);
      const auto gradients = dy(i, column);
      Floats<kWidth> weight;
      weight.load(a.weight + column);
      Vector<T, kWidth> dx = {};
      if (a.adds) dx = load_vector<T, kWidth>(a.dx + start + column);
#pragma unroll
      for (int k = 0; k < kWidth; k++) {
        const float g = to_float(gradients.element[k]);
        const float n = to_float(xs.element[k]) * inverse;
        const float d = inverse * (weight[k] * g - n * mean);
        dx.element[k] = to_element<T>(a.adds ? to_float(dx.element[k]) + d : d);
      }
      store_vector(a.dx + start + column, dx);
    });
  }
  if constexpr (kHeld) {
    if (a.partial != nullptr) write_partial(gpu::shared<ColumnSums>(), dw, a.partial, a.columns);
  }
}

// Shares of dweight where rows are not held: a thread goes down a column, block y down its part of
// the rows.
template <class T>
__global__ void __launch_bounds__(kNormThreads)
    weight_gradient_kernel(NormGradientArguments<T> a, int rows_of_part) {
  const int column = static_cast<int>(blockIdx.x) * kNormThreads + static_cast<int>(threadIdx.x);
  if (column >= a.columns) return;
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * rows_of_part;
  const int64_t end = begin + rows_of_part < a.rows ? begin + rows_of_part : a.rows;
  float sum = 0.0f;
#pragma unroll 4
  for (int64_t r = begin; r < end; r++) {
    const size_t i = static_cast<size_t>(r) * a.columns + column;
    sum += to_float(a.dy[i]) * (to_float(a.x[i]) * a.inverse[r]);
  }
  a.partial[static_cast<size_t>(blockIdx.y) * a.columns + column] = sum;
}

constexpr int kPartWarps = 32;

struct PartShared {
  float sums[kPartWarps][kWarp];
};

// A block adds the parts of 32 columns: each warp every 32nd part, then the warps in order.
__global__ void __launch_bounds__(kPartWarps* kWarp)
    add_parts_kernel(float* dweight, const float* partial, int parts, int columns, bool adds) {
  PartShared& shared = gpu::shared<PartShared>();
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int column = static_cast<int>(blockIdx.x) * kWarp + lane;
  float sum = 0.0f;
#pragma unroll 8
  for (int part = warp; part < parts; part += kPartWarps) {
    if (column < columns) sum += partial[static_cast<size_t>(part) * columns + column];
  }
  shared.sums[warp][lane] = sum;
  __syncthreads();
  if (warp != 0 || column >= columns) return;
  float total = 0.0f;
  for (int w = 0; w < kPartWarps; w++) total += shared.sums[w][lane];
  dweight[column] = adds ? dweight[column] + total : total;
}

template <class T>
void rms_norm_gradient(Operation& op, NormGradientArguments<T> a, float* dweight, int accumulate) {
  const uint64_t addresses = reinterpret_cast<uint64_t>(a.dx) | reinterpret_cast<uint64_t>(a.dy) |
                             reinterpret_cast<uint64_t>(a.x) | reinterpret_cast<uint64_t>(a.weight);
  with_norm_row<T>(a.columns, addresses, [&](auto width, auto steps) {
    constexpr bool kHeld = decltype(steps)::value > 0;
    const auto multiprocessors = static_cast<unsigned>(op.context.multiprocessors);
    const unsigned blocks = grid_blocks(
        a.rows, kNormWarps, resident_blocks<T>(width.value * steps.value) * multiprocessors);
    const unsigned parts = kHeld ? blocks : grid_blocks(a.rows, 64, 2 * multiprocessors);
    const Scratch<float> partial(op, dweight == nullptr ? 1 : size_t{parts} * a.columns);
    if (dweight != nullptr) a.partial = partial.data();
    if (a.dx != nullptr || kHeld) {
      op.launch(rms_norm_gradient_kernel<T, width.value, steps.value>, dim3(blocks),
                dim3(kNormThreads), kHeld ? sizeof(float) * a.columns : 0, a);
    }
    if (dweight == nullptr) return;
    if (!kHeld) {
      const int rows_of_part = static_cast<int>((int64_t{a.rows} + parts - 1) / parts);
      op.launch(weight_gradient_kernel<T>,
                dim3((a.columns + kNormThreads - 1) / kNormThreads, parts), dim3(kNormThreads), 0,
                a, rows_of_part);
    }
    op.launch(add_parts_kernel, dim3((a.columns + kWarp - 1) / kWarp), dim3(kPartWarps * kWarp),
              sizeof(PartShared), dweight, partial.data(), static_cast<int>(parts), a.columns,
              (accumulate & kDweight) != 0);
  });
}

}  // namespace
}  // namespace remoe

int32_t remoe_rms_norm_gradient(uint64_t context, int32_t dtype, uint64_t dx, uint64_t dweight,
                                uint64_t dy, uint64_t inverse, uint64_t x, uint64_t weight,
                                int32_t rows, int32_t columns, int32_t accumulate) {
  using namespace remoe;
  return guard(context, "rms_norm_gradient", [&](Operation& op) {
    require_size(rows, "rows");
    require_size(columns, "columns");
    with_activations(dtype, [&](auto element) {
      using T = decltype(element);
      const NormGradientArguments<T> a = {
          .dx = optional_address<T>(dx, "dx"),
          .partial = nullptr,
          .dy = require_address<const T>(dy, "dy"),
          .inverse = require_address<const float>(inverse, "inverse"),
          .x = require_address<const T>(x, "x"),
          .weight = require_address<const float>(weight, "weight"),
          .rows = rows,
          .columns = columns,
          .adds = (accumulate & kDx) != 0,
      };
      rms_norm_gradient(op, a, optional_address<float>(dweight, "dweight"), accumulate);
    });
  });
}
