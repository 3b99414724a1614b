// How the threads of a block share a tile of a product: each has its sums in registers.
#pragma once

#include "device/gpu.h"

namespace remoe {

// Loads and the tile's storage work in fours.
constexpr int kFour = 4;

// Of the largest devices: how a product is divided must not depend on the device. The emulator's
// products are small, and are to take large tiles, too.
constexpr int kMultiprocessors = gpu::kEmulated ? 4 : 132;

constexpr int smaller(int a, int b) { return a < b ? a : b; }

// A tile of rows by columns, of which a thread computes kThreadRows by kThreadColumns.
template <int kRows_, int kColumns_, int kThreadRows_, int kThreadColumns_>
struct TileShape {
  static constexpr int kRows = kRows_;
  static constexpr int kColumns = kColumns_;
  static constexpr int kThreadRows = kThreadRows_;
  static constexpr int kThreadColumns = kThreadColumns_;
  static constexpr int kThreads = kRows / kThreadRows * (kColumns / kThreadColumns);
  // Blocks that a multiprocessor's registers hold.
  static constexpr int kResident =
      64 / (kThreadRows * kThreadColumns) < 4 ? 64 / (kThreadRows * kThreadColumns) : 4;
};

// 64 multiply-adds for 4 reads of 16 bytes keep shared memory just ahead of the FMA cores.
using LargeTile = TileShape<128, 128, 8, 8>;
// For products whose large tiles would leave multiprocessors idle.
using MediumTile = TileShape<64, 64, 4, 4>;
// For a handful of rows, as in generation.
using FlatTile = TileShape<16, 128, 2, 4>;

// The rows and columns of the calling thread. They come in runs of up to four, so that a warp, 4 by
// 8 threads, reads adjacent memory, and so that the runs of a thread of a large tile are half a
// tile apart.
//
// Shared memory serves a warp's loads of 16 bytes in four quarters, or in two halves where each
// lane reads what its neighbour does, the lane with bit 0 or that with bit 1 flipped. So bit 0
// chooses among the rows and bit 1 among the columns: both operands' loads take two turns rather
// than four.
template <class Shape>
struct ThreadTile {
  static constexpr int kRowRun = smaller(Shape::kThreadRows, kFour);
  static constexpr int kColumnRun = smaller(Shape::kThreadColumns, kFour);
  static constexpr int kRowStep = Shape::kRows / (Shape::kThreadRows / kRowRun);
  static constexpr int kColumnStep = Shape::kColumns / (Shape::kThreadColumns / kColumnRun);
  static constexpr int kWarpColumns = Shape::kColumns / Shape::kThreadColumns / 8;

  int first_row;
  int first_column;

  __device__ __forceinline__ ThreadTile() {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const int lane_row = lane % 2 + lane / 16 * 2;
    first_row = (warp / kWarpColumns * 4 + lane_row) * kRowRun;
    first_column = (warp % kWarpColumns * 8 + lane_column()) * kColumnRun;
  }

  // Of the eight lanes that share rows.
  static __device__ __forceinline__ int lane_column() {
    return static_cast<int>(threadIdx.x) % 32 / 2 % 8;
  }

  // The sum over those lanes, in each of them.
  static __device__ __forceinline__ float sum_of_row(float value) {
#pragma unroll
    for (int step = 8; step > 1; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
  }

  // The tile's row and column of the thread's i-th row and j-th column.
  __device__ __forceinline__ int row(int i) const {
    return first_row + i / kRowRun * kRowStep + i % kRowRun;
  }
  __device__ __forceinline__ int column(int j) const {
    return first_column + j / kColumnRun * kColumnStep + j % kColumnRun;
  }
};

template <class Shape>
using Sums = float[Shape::kThreadRows][Shape::kThreadColumns];

}  // namespace remoe
