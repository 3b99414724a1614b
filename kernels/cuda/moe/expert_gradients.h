// The kernels of the experts' gradient, of any sizes and addresses. With A = silu(g) * u of the
// pre-activations h = (g | u), a row of token t and expert e contributes y_t += gate (A W_down).
// For dY = dy_t:
//
//   dA' = dY W_down^T                  the gradient of A, up to the gate
//   dgate = <dY, A W_down> = <dY W_down^T, A> = <dA', A>
//   dA = gate dA'
//   dg = dA * u * silu'(g),  du = dA * silu(g)
//   dx_t += (dg | du) W1^T
//   dW1 = sum over rows of x_t^T (dg | du),  dW_down of (gate A)^T dY
//
// so neither A W_down nor A needs to be kept: h is enough.
#pragma once

#include "device/block_scan.h"
#include "moe/expert_products.h"

namespace remoe {

// dA' and what follows from it without another product.
template <class T>
struct ActivationGradients {
  T* dh;        // [rows, 2W]; holds h on entry from kept_rows on
  T* gated;     // [rows, W]: gate A; nullptr: not wanted
  float* dots;  // [rows, parts]: parts of <dA', A>; nullptr: not wanted
  const T* h;   // [kept_rows, 2W]
  const T* dy;  // [T, D]
  const T* w2;  // [E, W, D]
  const float* gates;
  PlanView plan;
  TileList list;
  int kept_rows;
  int hidden;
  int width;
};

// Parts of a row's <dA', A>: a warp of each tile adds up its columns.
template <class Shape>
constexpr int kTileDots = ThreadTile<Shape>::kWarpColumns;
template <class Shape>
inline __host__ __device__ int dots_of(int width) {
  return ((width - 1) / Shape::kColumns + 1) * kTileDots<Shape>;
}

// kCount adjacent elements, of which `count` exist; zeros beyond.
template <int kCount, class T>
__device__ __forceinline__ void read_run(float (&to)[kCount], const T* from, int count, bool wide) {
  if (wide && count >= kCount) {
    load_floats(from, to);
  } else {
#pragma unroll
    for (int i = 0; i < kCount; i++) to[i] = i < count ? to_float(from[i]) : 0.0f;
  }
}

// One run of columns of a row: from dA' to dg, du and gate A. Returns its part of <dA', A>.
template <int kRun, class T>
__device__ __forceinline__ float activation_run(const ActivationGradients<T>& p, size_t row,
                                                size_t column, int count, bool wide, float gate,
                                                const float* da) {
  const T* h = static_cast<int>(row) < p.kept_rows ? p.h : p.dh;
  const size_t at = row * 2 * p.width + column;
  float g[kRun], u[kRun], gated[kRun];
  read_run(g, h + at, count, wide);
  read_run(u, h + at + p.width, count, wide);
  float dot = 0.0f;
#pragma unroll
  for (int j = 0; j < kRun; j++) {
    const SwigluDerivative d = swiglu_derivative(da[j] * gate, g[j], u[j]);
    dot += j < count ? da[j] * d.activation : 0.0f;
    gated[j] = gate * d.activation;
    g[j] = d.dg;
    u[j] = d.du;
  }
  write_run<kRun>(p.dh + at, g, count, wide, 1.0f, 0.0f);
  write_run<kRun>(p.dh + at + p.width, u, count, wide, 1.0f, 0.0f);
  if (p.gated != nullptr) {
    write_run<kRun>(p.gated + row * p.width + column, gated, count, wide, 1.0f, 0.0f);
  }
  return dot;
}

template <class Shape, class T>
__device__ __forceinline__ void write_activation_gradients(const ActivationGradients<T>& p,
                                                           const ExpertTile& tile, int column_tile,
                                                           const ThreadTile<Shape>& own,
                                                           const Sums<Shape>& sums) {
  constexpr int kRun = ThreadTile<Shape>::kColumnRun;
  const int column = column_tile * Shape::kColumns;
  const bool wide = has_wide_rows(p.h, p.width) && has_wide_rows(p.gated, p.width) &&
                    has_wide_rows(p.dh, p.width);
  const int warp_column = static_cast<int>(threadIdx.x) / kWarp % kTileDots<Shape>;
#pragma unroll
  for (int i = 0; i < Shape::kThreadRows; i++) {
    const size_t row = static_cast<size_t>(tile.row) + own.row(i);
    float dot = 0.0f;
    if (own.row(i) < tile.rows) {
      const int token = p.plan.row_token()[row];
      const float gate = p.gates[static_cast<size_t>(token) * p.plan.experts + tile.expert];
#pragma unroll
      for (int j = 0; j < Shape::kThreadColumns; j += kRun) {
        const int left = p.width - column - own.column(j);
        if (left <= 0) continue;
        dot += activation_run<kRun>(p, row, static_cast<size_t>(column) + own.column(j), left, wide,
                                    gate, &sums[i][j]);
      }
    }
    if (p.dots == nullptr) continue;
    dot = own.sum_of_row(dot);
    if (own.lane_column() == 0 && own.row(i) < tile.rows) {
      p.dots[row * dots_of<Shape>(p.width) + column_tile * kTileDots<Shape> + warp_column] = dot;
    }
  }
}

template <class Loop, class T>
__global__ void __launch_bounds__(Loop::Shape::kThreads)
    activation_gradients_kernel(ActivationGradients<T> p) {
  using Shape = typename Loop::Shape;
  auto& tiles = gpu::shared<typename Loop::Shared>();
  const ThreadTile<Shape> own;
  const int column_tiles = (p.width - 1) / Shape::kColumns + 1;
  const size_t stride = static_cast<size_t>(p.hidden);
  for_each_tile(p.list, column_tiles, [&](const ExpertTile& tile, int column_tile) {
    const int column = column_tile * Shape::kColumns;
    const T* w = p.w2 + (static_cast<size_t>(tile.expert) * p.width + column) * stride;
    const MatrixTile<T, true> of_dy = {
        p.dy,      stride,   p.plan.row_token() + tile.row,
        tile.rows, p.hidden, has_wide_rows<Loop::kRun>(p.dy, stride)};
    const MatrixTile<T, true> of_w = {
        w, stride, nullptr, p.width - column, p.hidden, has_wide_rows<Loop::kRun>(w, stride)};
    Sums<Shape> sums = {};
    Loop::add(tiles, of_dy, of_w, 0, p.hidden, own, sums);
    write_activation_gradients<Shape>(p, tile, column_tile, own, sums);
  });
}

// dW_e (+)= sum over the rows r of expert e of a_r^T b_r. The rows of an expert are divided into
// `splits` parts, whose sums `partial` takes if there are several.
template <class T>
struct WeightGradients {
  float* dw;       // [E, m, n]
  float* partial;  // [splits, E, m, n]; nullptr: one part
  const T* a;      // [.., m]
  const T* b;      // [.., n]
  bool gather_a;   // by token; else by row of the plan
  bool gather_b;
  PlanView plan;
  int m;
  int n;
  int splits;
  bool accumulate;
};

template <class Loop, class T>
__device__ __forceinline__ MatrixTile<T, false> weight_operand(const T* data, bool gather,
                                                               const PlanView& plan, int row,
                                                               int rows, int size, int first) {
  const size_t stride = static_cast<size_t>(size);
  const T* from = data + (gather ? 0 : row * stride) + first;
  return {from,         stride, gather ? plan.row_token() + row : nullptr,
          size - first, rows,   has_wide_rows<Loop::kRun>(from, stride)};
}

template <class Loop, class T>
__global__ void __launch_bounds__(Loop::Shape::kThreads)
    weight_gradients_kernel(WeightGradients<T> p) {
  using Shape = typename Loop::Shape;
  auto& tiles = gpu::shared<typename Loop::Shared>();
  const ThreadTile<Shape> own;
  const unsigned row_tiles = (p.m - 1) / Shape::kRows + 1;
  const unsigned column_tiles = (p.n - 1) / Shape::kColumns + 1;
  const unsigned per_expert = row_tiles * column_tiles;
  const int expert = static_cast<int>(blockIdx.x / per_expert);
  const int row = static_cast<int>(blockIdx.x % per_expert / column_tiles) * Shape::kRows;
  const int column = static_cast<int>(blockIdx.x % column_tiles) * Shape::kColumns;
  const int part = static_cast<int>(blockIdx.y);

  const bool empty = p.plan.rows() == 0;
  const int first = empty ? 0 : p.plan.expert_offset()[expert];
  const int rows = empty ? 0 : p.plan.expert_offset()[expert + 1] - first;
  const int even = (rows + p.splits - 1) / p.splits;
  const int depth = (even + Loop::kDepth - 1) / Loop::kDepth * Loop::kDepth;
  const int begin = part * depth;
  const int end = rows - begin < depth ? rows : begin + depth;
  Sums<Shape> sums = {};
  if (begin < end) {
    const auto of_a = weight_operand<Loop>(p.a, p.gather_a, p.plan, first, rows, p.m, row);
    const auto of_b = weight_operand<Loop>(p.b, p.gather_b, p.plan, first, rows, p.n, column);
    Loop::add(tiles, of_a, of_b, begin, end, own, sums);
  }
  const bool divided = p.partial != nullptr;
  const size_t matrix =
      divided ? static_cast<size_t>(part) * p.plan.experts + expert : static_cast<size_t>(expert);
  float* to = (divided ? p.partial : p.dw) + (matrix * p.m + row) * p.n + column;
  write_sums<Shape>(to, static_cast<size_t>(p.n), p.m - row, p.n - column, 1.0f,
                    !divided && p.accumulate ? 1.0f : 0.0f, own, sums);
}

}  // namespace remoe
