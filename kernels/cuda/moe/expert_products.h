// Products grouped by expert, of any sizes and addresses: operands of one expert and kernels shared
// by the forward pass and the gradient.
#pragma once

#include <algorithm>
#include <type_traits>

#include "gemm/mma_product.h"
#include "gemm/simt_product.h"
#include "gemm/write_sums.h"
#include "moe/expert_tiles.h"
#include "moe/swiglu.h"

namespace remoe {

// Tiles of 64 columns of W_gate and as many of W_up at once: a thread's first columns are gates,
// the others its ups. All have 256 threads.
using HighTile = TileShape<128, 128, 8, 8>;
using HalfTile = TileShape<64, 128, 4, 8>;
// For a handful of tokens.
using LowTile = TileShape<16, 128, 1, 8>;

// Whether high tiles of the product with the fewest columns are enough for all multiprocessors.
inline bool fill_device(const ExpertSizes& sizes) {
  const int64_t columns = (std::min(sizes.hidden, sizes.width) - 1) / HighTile::kColumns + 1;
  return sizes.most_rows / HighTile::kRows * columns >= kMultiprocessors;
}

// Runs body(Loop{}) with the loop of a call's products of rows. An expert has at most one row per
// token, and tiles of one size must serve all. h is recomputed to the bits of the forward pass,
// which takes the same loop, since it follows from the sizes alone; in fp32, its bits do not depend
// on the tile.
template <class T, class Body>
void with_rows_loop(const ExpertSizes& sizes, Body&& body) {
  if (sizes.tokens <= LowTile::kRows) {
    body(SimtLoop<LowTile>{});
  } else if constexpr (std::is_same_v<T, Bf16>) {
    body(MmaLoop{});
  } else if (sizes.most_rows / sizes.experts <= 2 * HalfTile::kRows || !fill_device(sizes)) {
    body(SimtLoop<HalfTile>{});
  } else {
    body(SimtLoop<HighTile>{});
  }
}

// The B of x W1 [D, 2W]: columns of W_gate in the first half of a tile, those of W_up in the
// second.
template <class T, int kHalf>
struct GateUpTile {
  using Element = T;
  static constexpr bool kAlongDepth = false;

  const T* data;  // the tile's first column of W_gate
  int width;      // W
  int columns;    // of W_gate from there on
  int depth;      // D
  bool wide;

  template <int kCount>
  __device__ __forceinline__ void load(T (&to)[kCount], int i, int d) const {
    const bool inside = d < depth;
    const bool is_up = i >= kHalf;
    const size_t start = (inside ? d * size_t{2} * width : 0) + (is_up ? width : 0);
    load_run(to, data + start, is_up ? i - kHalf : i, inside ? columns : 0, wide);
  }
};

// Walks a block's share of tiles of rows by `column_tiles` tiles of columns, columns fastest: the
// blocks in flight then share rows, and the weights of few experts. body(tile, column tile).
template <class Body>
__device__ __forceinline__ void for_each_tile(const TileList& list, int column_tiles, Body&& body) {
  const size_t count = static_cast<size_t>(*list.count) * column_tiles;
  for (size_t i = blockIdx.x; i < count; i += gridDim.x) {
    body(list.tiles[i / column_tiles], static_cast<int>(i % column_tiles));
    __syncthreads();  // the next tile overwrites shared memory
  }
}

// to[r] = a[r] op(W_e) for the rows r of each expert e; op transposes if kTranspose.
template <class T>
struct RowsProduct {
  float* to;   // [rows, n]
  const T* a;  // [rows, k]
  const T* w;  // [E, k, n], or [E, n, k] transposed
  TileList list;
  int n;
  int k;
};

// For few rows ptxas would spill a few registers to fit another block; 0 leaves it the choice.
template <class Loop>
constexpr int kLeastBlocks = Loop::Shape::kRows == 16 ? 1 : 0;

template <class Loop, bool kTranspose, class T>
__global__ void __launch_bounds__(Loop::Shape::kThreads, kLeastBlocks<Loop>)
    rows_product_kernel(RowsProduct<T> p) {
  using Shape = typename Loop::Shape;
  auto& tiles = gpu::shared<typename Loop::Shared>();
  const ThreadTile<Shape> own;
  const int column_tiles = (p.n - 1) / Shape::kColumns + 1;
  for_each_tile(p.list, column_tiles, [&](const ExpertTile& tile, int column_tile) {
    const int column = column_tile * Shape::kColumns;
    const size_t stride = kTranspose ? p.k : p.n;
    const T* a = p.a + static_cast<size_t>(tile.row) * p.k;
    const T* w = p.w + static_cast<size_t>(tile.expert) * p.n * p.k +
                 (kTranspose ? column * stride : static_cast<size_t>(column));
    const MatrixTile<T, true> of_a = {a,   static_cast<size_t>(p.k),         nullptr, tile.rows,
                                      p.k, has_wide_rows<Loop::kRun>(a, p.k)};
    const MatrixTile<T, kTranspose> of_w = {
        w, stride, nullptr, p.n - column, p.k, has_wide_rows<Loop::kRun>(w, stride)};
    Sums<Shape> sums = {};
    Loop::add(tiles, of_a, of_w, 0, p.k, own, sums);
    float* to = p.to + static_cast<size_t>(tile.row) * p.n + column;
    write_sums<Shape>(to, static_cast<size_t>(p.n), tile.rows, p.n - column, 1.0f, 0.0f, own, sums);
  });
}

template <class Loop, bool kTranspose, class T>
void launch_rows_product(Operation& op, const RowsProduct<T>& p, size_t most_tiles) {
  const uint64_t work = most_tiles * ((p.n - 1) / Loop::Shape::kColumns + 1);
  if constexpr (std::is_same_v<Loop, SimtLoop<HalfTile>>) {
    // Narrower tiles of as many rows.
    static_assert(MediumTile::kRows == HalfTile::kRows);
    if (work < uint64_t{kMultiprocessors} * Loop::kResident) {
      return launch_rows_product<SimtLoop<MediumTile>, kTranspose>(op, p, most_tiles);
    }
  }
  op.launch(rows_product_kernel<Loop, kTranspose, T>, resident_blocks(op, work, Loop::kResident),
            dim3(Loop::Shape::kThreads), sizeof(typename Loop::Shared), p);
}

// The first product of the experts, h = x W1.
template <class T>
struct PreActivations {
  T* h;           // [.., 2W]; nullptr: not wanted
  int first_row;  // h is wanted from this row of the plan on
  int end_row;    // and up to this one
  T* a;           // [rows, W]: gate * silu(g) * u; nullptr: not wanted
  const T* x;     // [T, D]
  const T* w1;    // [E, D, 2W]
  const float* gates;
  PlanView plan;
  TileList list;
  int hidden;
  int width;
};

// That product for a call, forward or gradient; the caller says which of its results it wants.
template <class T, class Call>
PreActivations<T> pre_activations_of(const Call& call, const TileList& list) {
  return {
      .h = nullptr,
      .first_row = 0,
      .end_row = 0,
      .a = nullptr,
      .x = call.x,
      .w1 = call.w1,
      .gates = call.gates,
      .plan = call.plan,
      .list = list,
      .hidden = call.sizes.hidden,
      .width = call.sizes.width,
  };
}

template <class Shape, class T>
__device__ __forceinline__ void write_pre_activations(const PreActivations<T>& p,
                                                      const ExpertTile& tile, int column,
                                                      const ThreadTile<Shape>& own,
                                                      const Sums<Shape>& sums) {
  constexpr int kRun = ThreadTile<Shape>::kColumnRun;
  constexpr int kHalf = Shape::kThreadColumns / 2;
  static_assert(kHalf == kRun, "a thread has one run of gates and one of ups");
  const int left = p.width - column - own.column(0);
  if (left <= 0) return;
  const bool wide = has_wide_rows(p.h, p.width) && has_wide_rows(p.a, p.width);
#pragma unroll
  for (int i = 0; i < Shape::kThreadRows; i++) {
    if (own.row(i) >= tile.rows) continue;
    const size_t row = static_cast<size_t>(tile.row) + own.row(i);
    const size_t at = static_cast<size_t>(column) + own.column(0);
    if (p.h != nullptr && static_cast<int>(row) >= p.first_row &&
        static_cast<int>(row) < p.end_row) {
      T* h = p.h + row * 2 * p.width + at;
      write_run<kRun>(h, &sums[i][0], left, wide, 1.0f, 0.0f);
      write_run<kRun>(h + p.width, &sums[i][kHalf], left, wide, 1.0f, 0.0f);
    }
    if (p.a == nullptr) continue;
    const int token = p.plan.row_token()[row];
    const float gate = p.gates[static_cast<size_t>(token) * p.plan.experts + tile.expert];
    float a[kRun];
#pragma unroll
    for (int j = 0; j < kRun; j++) {
      a[j] = gate * swiglu(rounded_to<T>(sums[i][j]), rounded_to<T>(sums[i][j + kHalf]));
    }
    write_run<kRun>(p.a + row * p.width + at, a, left, wide, 1.0f, 0.0f);
  }
}

template <class Loop, class T>
__global__ void __launch_bounds__(Loop::Shape::kThreads)
    pre_activations_kernel(PreActivations<T> p) {
  using Shape = typename Loop::Shape;
  constexpr int kHalf = Shape::kColumns / 2;
  auto& tiles = gpu::shared<typename Loop::Shared>();
  const ThreadTile<Shape> own;
  const int column_tiles = (p.width - 1) / kHalf + 1;
  for_each_tile(p.list, column_tiles, [&](const ExpertTile& tile, int column_tile) {
    // Nothing is wanted of these rows.
    if (p.a == nullptr && (tile.row + tile.rows <= p.first_row || tile.row >= p.end_row)) return;
    const int column = column_tile * kHalf;
    const T* w = p.w1 + static_cast<size_t>(tile.expert) * p.hidden * 2 * p.width + column;
    const MatrixTile<T, true> of_x = {
        p.x,      static_cast<size_t>(p.hidden),           p.plan.row_token() + tile.row, tile.rows,
        p.hidden, has_wide_rows<Loop::kRun>(p.x, p.hidden)};
    const GateUpTile<T, kHalf> of_w = {w, p.width, p.width - column, p.hidden,
                                       has_wide_rows<Loop::kRun>(w, p.width)};
    Sums<Shape> sums = {};
    Loop::add(tiles, of_x, of_w, 0, p.hidden, own, sums);
    write_pre_activations<Shape>(p, tile, column, own, sums);
  });
}

template <class Loop, class T>
void launch_pre_activations(Operation& op, const PreActivations<T>& p, size_t most_tiles) {
  const uint64_t work = most_tiles * ((p.width - 1) / (Loop::Shape::kColumns / 2) + 1);
  op.launch(pre_activations_kernel<Loop, T>, resident_blocks(op, work, Loop::kResident),
            dim3(Loop::Shape::kThreads), sizeof(typename Loop::Shared), p);
}

}  // namespace remoe
