// A block's tile of a product on plain FMA cores: op(A) op(B) with sums in fp32, each over
// ascending depth, so that a sum's bits do not depend on the tile it is computed in.
//
// Both operands pass through shared memory as fp32, depth by depth: tile[d][i]. What differs
// between products is where an operand's elements come from (MatrixTile and others like it) and
// what becomes of the sums, which the caller's kernel finds in its threads' registers.
#pragma once

#include "device/bf16.h"

namespace remoe {

constexpr int kTileDepth = 16;

// Loads and the tile's storage work in fours.
constexpr int kFour = 4;

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
    first_row = (warp / kWarpColumns * 4 + lane / 8) * kRowRun;
    first_column = (warp % kWarpColumns * 8 + lane % 8) * kColumnRun;
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

// Two stages, so that one barrier per step of depth suffices: a stage is written again only after
// the barrier of the step in between, which all its readers have passed.
template <class Shape>
struct ProductTiles {
  alignas(16) float a[2][kTileDepth][Shape::kRows];
  alignas(16) float b[2][kTileDepth][Shape::kColumns];
};

// Position of element i in row `depth` of a tile. A warp that read fours along the depth stores 8
// elements by 4 fours at once: moved according to the four of depth, they touch all 32 banks once.
template <int kExtent>
__device__ __forceinline__ int swizzled(int i, int depth) {
  constexpr int kMove = 32 / (kTileDepth / kFour);
  return i ^ (depth / kFour * kMove & (kExtent - 1));
}

// Four adjacent elements of a row that has `size` of them; zeros beyond. `wide`: the row starts at
// a multiple of four elements.
template <class T>
__device__ __forceinline__ void load_four(T (&to)[kFour], const T* row, int first, int size,
                                          bool wide) {
  if (wide && first + kFour <= size) {
    const auto four = load_vector<T, kFour>(row + first);
#pragma unroll
    for (int i = 0; i < kFour; i++) to[i] = four.element[i];
  } else {
#pragma unroll
    for (int i = 0; i < kFour; i++) to[i] = first + i < size ? row[first + i] : T{};
  }
}

// Whether all rows of a matrix start at multiples of four elements.
template <class T>
inline __host__ __device__ bool has_wide_rows(const T* data, size_t stride) {
  return stride % kFour == 0 && reinterpret_cast<uintptr_t>(data) % (kFour * sizeof(T)) == 0;
}

// An operand's elements in a tile's rows (of A) or columns (of B) i and depth d, counted from the
// tile's corner. kAlongDepth: those of one i are adjacent in memory, else those of one d. Stored
// rows may be gathered: with `rows`, the stored row of i (or d) is rows[i] (or rows[d]).
template <class T, bool kAlongDepth_>
struct MatrixTile {
  using Element = T;
  static constexpr bool kAlongDepth = kAlongDepth_;

  const T* data;
  size_t stride;        // elements between stored rows
  const int32_t* rows;  // nullptr: as stored
  int extent;           // of i
  int depth;            // of d
  bool wide;            // has_wide_rows()

  __device__ __forceinline__ size_t start(int row) const {
    return (rows == nullptr ? row : rows[row]) * stride;
  }
  // Along the depth: where the elements of i start.
  __device__ __forceinline__ size_t start_of(int i) const { return i < extent ? start(i) : 0; }
  __device__ __forceinline__ void load(T (&to)[kFour], size_t start_of_i, int i, int d) const {
    load_four(to, data + start_of_i, d, i < extent ? depth : 0, wide);
  }
  // Along i.
  __device__ __forceinline__ void load(T (&to)[kFour], int i, int d) const {
    const bool inside = d < depth;
    load_four(to, data + (inside ? start(d) : 0), i, inside ? extent : 0, wide);
  }
};

// A thread's share of one step of an operand, in registers on the way from device to shared memory.
template <int kThreads, int kExtent, class Operand>
class Staged {
  using T = typename Operand::Element;
  static constexpr int kFours = kExtent * kTileDepth / kFour;
  static constexpr int kLoads = (kFours + kThreads - 1) / kThreads;
  static constexpr int kDepthFours = kTileDepth / kFour;
  static constexpr int kExtentFours = kExtent / kFour;

 public:
  __device__ __forceinline__ explicit Staged(const Operand& operand) : operand_(operand) {
    if constexpr (Operand::kAlongDepth) {
#pragma unroll
      for (int l = 0; l < kLoads; l++) start_[l] = operand_.start_of(element(l));
    }
  }

  __device__ __forceinline__ void load(int depth) {
#pragma unroll
    for (int l = 0; l < kLoads; l++) {
      if (!takes_part(l)) continue;
      if constexpr (Operand::kAlongDepth) {
        operand_.load(four_[l], start_[l], element(l), depth + step(l));
      } else {
        operand_.load(four_[l], element(l), depth + step(l));
      }
    }
  }

  __device__ __forceinline__ void store(float (&tile)[kTileDepth][kExtent]) const {
#pragma unroll
    for (int l = 0; l < kLoads; l++) {
      if (!takes_part(l)) continue;
      const int d = step(l);
      const int i = swizzled<kExtent>(element(l), d);
      const T(&from)[kFour] = four_[l];
      if constexpr (Operand::kAlongDepth) {
#pragma unroll
        for (int j = 0; j < kFour; j++) tile[d + j][i] = to_float(from[j]);
      } else {
        *reinterpret_cast<float4*>(&tile[d][i]) =
            float4{to_float(from[0]), to_float(from[1]), to_float(from[2]), to_float(from[3])};
      }
    }
  }

 private:
  static __device__ __forceinline__ int index(int l) {
    return static_cast<int>(threadIdx.x) + l * kThreads;
  }
  static __device__ __forceinline__ bool takes_part(int l) {
    return kFours % kThreads == 0 || index(l) < kFours;
  }
  // The first element and the first depth of a thread's l-th four.
  static __device__ __forceinline__ int element(int l) {
    return Operand::kAlongDepth ? index(l) / kDepthFours : index(l) % kExtentFours * kFour;
  }
  static __device__ __forceinline__ int step(int l) {
    return Operand::kAlongDepth ? index(l) % kDepthFours * kFour : index(l) / kExtentFours;
  }

  const Operand& operand_;
  size_t start_[kLoads];
  T four_[kLoads][kFour];
};

// kCount elements of a row of a tile, in runs as ThreadTile has them.
template <int kExtent, int kCount, int kRun, int kStep>
__device__ __forceinline__ void read_runs(float (&to)[kCount], const float (&row)[kExtent],
                                          int first, int depth) {
#pragma unroll
  for (int i = 0; i < kCount; i += kRun) {
    const auto run =
        load_vector<float, kRun>(&row[swizzled<kExtent>(first + i / kRun * kStep, depth)]);
#pragma unroll
    for (int j = 0; j < kRun; j++) to[i + j] = run.element[j];
  }
}

template <class Shape>
__device__ __forceinline__ void multiply_step(const ProductTiles<Shape>& tiles, int stage,
                                              const ThreadTile<Shape>& own, Sums<Shape>& sums) {
  using Own = ThreadTile<Shape>;
#pragma unroll
  for (int d = 0; d < kTileDepth; d++) {
    float a[Shape::kThreadRows];
    float b[Shape::kThreadColumns];
    read_runs<Shape::kRows, Shape::kThreadRows, Own::kRowRun, Own::kRowStep>(a, tiles.a[stage][d],
                                                                             own.first_row, d);
    read_runs<Shape::kColumns, Shape::kThreadColumns, Own::kColumnRun, Own::kColumnStep>(
        b, tiles.b[stage][d], own.first_column, d);
#pragma unroll
    for (int i = 0; i < Shape::kThreadRows; i++) {
#pragma unroll
      for (int j = 0; j < Shape::kThreadColumns; j++) sums[i][j] += a[i] * b[j];
    }
  }
}

// Adds the block's tile of the product over depths [begin, end) to `sums`. While one step is
// multiplied, the next one is in flight from memory. All threads of the block take part; one that
// goes on to use `tiles` again needs a barrier first.
template <class Shape, class A, class B>
__device__ __forceinline__ void simt_product(ProductTiles<Shape>& tiles, const A& a, const B& b,
                                             int begin, int end, const ThreadTile<Shape>& own,
                                             Sums<Shape>& sums) {
  Staged<Shape::kThreads, Shape::kRows, A> of_a(a);
  Staged<Shape::kThreads, Shape::kColumns, B> of_b(b);
  of_a.load(begin);
  of_b.load(begin);
  int stage = 0;
  for (int left = end - begin; left > 0; left -= kTileDepth) {
    of_a.store(tiles.a[stage]);
    of_b.store(tiles.b[stage]);
    __syncthreads();
    if (left > kTileDepth) {
      of_a.load(end - left + kTileDepth);
      of_b.load(end - left + kTileDepth);
    }
    multiply_step(tiles, stage, own, sums);
    stage ^= 1;
  }
}

}  // namespace remoe
