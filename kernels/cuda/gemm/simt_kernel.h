// The kernel of dense products on plain FMA cores, for one pair of operand types.
#pragma once

#include "gemm/product.h"
#include "gemm/simt_product.h"
#include "gemm/write_sums.h"

namespace remoe {

// A product on the FMA cores, and how it is divided.
struct SimtProduct {
  const void* a;
  const void* b;
  void* c;
  float* partial;  // [splits, m, n]: sums of each part of the depth; nullptr: one part
  size_t lda;
  size_t ldb;
  size_t ldc;
  int m;
  int n;
  int k;
  int split_depth;  // depth of a part, a multiple of kTileDepth
  int row_tiles;
  int column_tiles;
  float alpha;
  float beta;
  bool c_is_bf16;
};

// Tiles in bands of eight rows: the blocks in flight then share columns of B and rows of A in L2.
struct TileIndex {
  int row;
  int column;

  __device__ __forceinline__ TileIndex(unsigned index, unsigned row_tiles, unsigned column_tiles) {
    constexpr unsigned kBand = 8;
    const unsigned first = index / (kBand * column_tiles) * kBand;
    const unsigned height = row_tiles - first < kBand ? row_tiles - first : kBand;
    const unsigned within = index % (kBand * column_tiles);
    row = static_cast<int>(first + within % height);
    column = static_cast<int>(within / height);
  }
};

template <class Loop, class A, class B, bool kTransposeA, bool kTransposeB>
__global__ void __launch_bounds__(Loop::Shape::kThreads) simt_product_kernel(SimtProduct p) {
  using Shape = typename Loop::Shape;
  auto& tiles = gpu::shared<typename Loop::Shared>();
  const TileIndex tile(blockIdx.x, p.row_tiles, p.column_tiles);
  const int row = tile.row * Shape::kRows;
  const int column = tile.column * Shape::kColumns;
  const int rows = p.m - row;
  const int columns = p.n - column;
  const A* a = static_cast<const A*>(p.a) + (kTransposeA ? row : row * p.lda);
  const B* b = static_cast<const B*>(p.b) + (kTransposeB ? column * p.ldb : column);
  const MatrixTile<A, !kTransposeA> of_a = {a,    p.lda, nullptr,
                                            rows, p.k,   has_wide_rows<Loop::kRun>(a, p.lda)};
  const MatrixTile<B, kTransposeB> of_b = {b,       p.ldb, nullptr,
                                           columns, p.k,   has_wide_rows<Loop::kRun>(b, p.ldb)};
  const ThreadTile<Shape> own;
  Sums<Shape> sums = {};
  const int part = static_cast<int>(blockIdx.y);
  const int begin = part * p.split_depth;
  const int end = p.k - begin < p.split_depth ? p.k : begin + p.split_depth;
  Loop::add(tiles, of_a, of_b, begin, end, own, sums);
  if (p.partial != nullptr) {
    float* to = p.partial + (static_cast<size_t>(part) * p.m + row) * p.n + column;
    write_sums<Shape>(to, static_cast<size_t>(p.n), rows, columns, 1.0f, 0.0f, own, sums);
  } else if (p.c_is_bf16) {
    write_sums<Shape>(static_cast<Bf16*>(p.c) + row * p.ldc + column, p.ldc, rows, columns, p.alpha,
                      p.beta, own, sums);
  } else {
    write_sums<Shape>(static_cast<float*>(p.c) + row * p.ldc + column, p.ldc, rows, columns,
                      p.alpha, p.beta, own, sums);
  }
}

// The loops there are kernels for: on FMA cores, by the shape of the tile, and on tensor cores.
enum class SimtTile { kLarge, kMedium, kFlat, kMma };

template <class Loop, class A, class B>
void launch_simt(Operation& op, const Product& product, const SimtProduct& p, int splits) {
  const auto kernel = product.transpose_a
                          ? (product.transpose_b ? simt_product_kernel<Loop, A, B, true, true>
                                                 : simt_product_kernel<Loop, A, B, true, false>)
                          : (product.transpose_b ? simt_product_kernel<Loop, A, B, false, true>
                                                 : simt_product_kernel<Loop, A, B, false, false>);
  const dim3 grid(static_cast<unsigned>(p.row_tiles) * static_cast<unsigned>(p.column_tiles),
                  static_cast<unsigned>(splits));
  op.launch(kernel, grid, dim3(Loop::Shape::kThreads), sizeof(typename Loop::Shared), p);
}

// Defined for each pair of operand types in a file of its own, since they take long to compile.
template <class A, class B>
void launch_simt(Operation& op, SimtTile tile, const Product& product, const SimtProduct& p,
                 int splits);

}  // namespace remoe
