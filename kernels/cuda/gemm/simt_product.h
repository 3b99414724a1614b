// A block's tile of a product on plain FMA cores: op(A) op(B) with sums in fp32, each over
// ascending depth, so that a sum's bits do not depend on the tile it is computed in.
//
// Both operands pass through shared memory as fp32, depth by depth: tile[d][i]. What differs
// between products is where an operand's elements come from (MatrixTile and others like it) and
// what becomes of the sums, which the caller's kernel finds in its threads' registers.
#pragma once

#include "gemm/matrix_tile.h"

namespace remoe {

constexpr int kTileDepth = 16;

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
        const float4 four = {to_float(from[0]), to_float(from[1]), to_float(from[2]),
                             to_float(from[3])};
        *reinterpret_cast<float4*>(&tile[d][i]) = four;
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

// The product by this path, as a kernel's parameter.
template <class Shape_>
struct SimtLoop {
  using Shape = Shape_;
  using Shared = ProductTiles<Shape>;
  static constexpr int kDepth = kTileDepth;
  static constexpr int kRun = kFour;  // elements of a load
  static constexpr int kResident = Shape::kResident;

  template <class A, class B>
  static __device__ __forceinline__ void add(Shared& tiles, const A& a, const B& b, int begin,
                                             int end, const ThreadTile<Shape>& own,
                                             Sums<Shape>& sums) {
    simt_product<Shape>(tiles, a, b, begin, end, own, sums);
  }
};

}  // namespace remoe
