// A block's tile of a product of bf16 on the tensor cores that every device from compute capability
// 8.0 on has, of any sizes and addresses. A sum's bits do not depend on its place in the tile.
//
// Operands lie in shared memory as they lie in device memory, along the depth or along their rows
// or columns: the loads of fragments transpose the latter. In units of 16 bytes, the positions in a
// row are permuted by the row's number, so that the eight rows that a fragment's load reads at once
// touch all banks.
//
// Elements pass through registers on their way to shared memory, rather than by asynchronous
// copies: those would take only rows that start at multiples of 16 bytes.
#pragma once

#include "device/ldmatrix.h"
#include "device/mma.h"
#include "gemm/matrix_tile.h"

namespace remoe {

constexpr int kMmaDepth = 32;
constexpr int kEight = 8;  // elements in 16 bytes

// Of 128 by 128, by eight warps of 64 by 32.
struct MmaTiles {
  static constexpr int kExtent = 128;
  static constexpr int kWarpRows = 64;
  static constexpr int kWarpColumns = 32;

  union Memory {
    struct {
      Bf16 a[2][kExtent * kMmaDepth];
      Bf16 b[2][kExtent * kMmaDepth];
    } stages;
    float sums[kWarpRows][kExtent];  // half of the tile, on its way to the epilogue's threads
  };
  alignas(128) Memory memory;
};

// Position of the eight elements from (i, d) on in an operand's tile; one of the two is a multiple
// of eight, by kAlongDepth.
template <bool kAlongDepth>
__device__ __forceinline__ int mma_position(int i, int d) {
  if constexpr (kAlongDepth) {
    // Two rows of 64 bytes fill the banks, so pairs of rows are permuted alike.
    return i * kMmaDepth + (d / kEight ^ (i / 2 & 3)) * kEight;
  } else {
    return d * MmaTiles::kExtent + (i / kEight ^ (d & 7)) * kEight;
  }
}

// A thread's share of one step of an operand.
template <class Operand>
class MmaStaged {
  static constexpr bool kAlongDepth = Operand::kAlongDepth;
  static constexpr int kThreads = 256;
  static constexpr int kLoads = MmaTiles::kExtent * kMmaDepth / kEight / kThreads;
  static constexpr int kPerRow = (kAlongDepth ? kMmaDepth : MmaTiles::kExtent) / kEight;

 public:
  __device__ __forceinline__ explicit MmaStaged(const Operand& operand) : operand_(operand) {
    if constexpr (kAlongDepth) {
#pragma unroll
      for (int l = 0; l < kLoads; l++) start_[l] = operand_.start_of(element(l));
    }
  }

  __device__ __forceinline__ void load(int depth) {
#pragma unroll
    for (int l = 0; l < kLoads; l++) {
      if constexpr (kAlongDepth) {
        operand_.load(run_[l].element, start_[l], element(l), depth + step(l));
      } else {
        operand_.load(run_[l].element, element(l), depth + step(l));
      }
    }
  }

  __device__ __forceinline__ void store(Bf16* tile) const {
#pragma unroll
    for (int l = 0; l < kLoads; l++) {
      store_vector(tile + mma_position<kAlongDepth>(element(l), step(l)), run_[l]);
    }
  }

 private:
  static __device__ __forceinline__ int index(int l) {
    return static_cast<int>(threadIdx.x) + l * kThreads;
  }
  static __device__ __forceinline__ int element(int l) {
    return kAlongDepth ? index(l) / kPerRow : index(l) % kPerRow * kEight;
  }
  static __device__ __forceinline__ int step(int l) {
    return kAlongDepth ? index(l) % kPerRow * kEight : index(l) / kPerRow;
  }

  const Operand& operand_;
  size_t start_[kLoads];
  Vector<Bf16, kEight> run_[kLoads];
};

// 16 elements by 16 depths from (i, d) on, as the halves of a fragment: of A, its lower and upper
// rows and then those 8 deeper; of B, the lower columns, those 8 deeper, and then the upper
// columns.
template <bool kAlongDepth, bool kOfA>
__device__ __forceinline__ void load_fragment(uint32_t (&to)[4], const Bf16* tile, int i, int d) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int matrix = lane / 8;
  const int upper = (kOfA ? matrix % 2 : matrix / 2) * 8;
  const int deeper = (kOfA ? matrix / 2 : matrix % 2) * 8;
  const int row = lane % 8;
  const int at = kAlongDepth ? mma_position<true>(i + upper + row, d + deeper)
                             : mma_position<false>(i + upper, d + deeper + row);
  load_matrices<!kAlongDepth>(to, tile + at);
}

// A warp's sums, as the tensor cores hold them.
struct MmaSums {
  static constexpr int kRowTiles = MmaTiles::kWarpRows / 16;
  static constexpr int kColumnTiles = MmaTiles::kWarpColumns / 8;
  float tile[kRowTiles][kColumnTiles][4];
};

// The warp's corner of the tile.
struct MmaWarp {
  int row;
  int column;

  __device__ __forceinline__ MmaWarp() {
    constexpr int kColumns = MmaTiles::kExtent / MmaTiles::kWarpColumns;
    const int warp = static_cast<int>(threadIdx.x) / 32;
    row = warp / kColumns * MmaTiles::kWarpRows;
    column = warp % kColumns * MmaTiles::kWarpColumns;
  }
};

template <bool kAAlongDepth, bool kBAlongDepth>
__device__ __forceinline__ void mma_step(const Bf16* a, const Bf16* b, const MmaWarp& warp,
                                         MmaSums& sums) {
#pragma unroll
  for (int d = 0; d < kMmaDepth; d += 16) {
    uint32_t of_a[MmaSums::kRowTiles][4];
    uint32_t of_b[MmaSums::kColumnTiles / 2][4];
#pragma unroll
    for (int i = 0; i < MmaSums::kRowTiles; i++) {
      load_fragment<kAAlongDepth, true>(of_a[i], a, warp.row + 16 * i, d);
    }
#pragma unroll
    for (int j = 0; j < MmaSums::kColumnTiles / 2; j++) {
      load_fragment<kBAlongDepth, false>(of_b[j], b, warp.column + 16 * j, d);
    }
#pragma unroll
    for (int i = 0; i < MmaSums::kRowTiles; i++) {
#pragma unroll
      for (int j = 0; j < MmaSums::kColumnTiles; j++) {
        const uint32_t(&of_j)[4] = of_b[j / 2];
        multiply_16x8x16(sums.tile[i][j], of_a[i], of_j[j % 2 * 2], of_j[j % 2 * 2 + 1]);
      }
    }
  }
}

// Hands the warps' sums to the threads of a LargeTile, half a tile at a time: the rows of a
// thread's first run are in the upper half, those of its second in the lower one.
__device__ __forceinline__ void exchange_sums(MmaTiles& tiles, const MmaWarp& warp,
                                              const MmaSums& from, const ThreadTile<LargeTile>& own,
                                              Sums<LargeTile>& sums) {
  const int g = static_cast<int>(threadIdx.x) % 32 / 4;
  const int t = static_cast<int>(threadIdx.x) % 4;
  auto& half = tiles.memory.sums;
#pragma unroll
  for (int h = 0; h < 2; h++) {
    __syncthreads();
    if (warp.row == h * MmaTiles::kWarpRows) {
#pragma unroll
      for (int i = 0; i < MmaSums::kRowTiles; i++) {
#pragma unroll
        for (int j = 0; j < MmaSums::kColumnTiles; j++) {
          const float(&of)[4] = from.tile[i][j];
          const int column = warp.column + 8 * j + 2 * t;
          const float2 upper = {of[0], of[1]};
          const float2 lower = {of[2], of[3]};
          *reinterpret_cast<float2*>(&half[16 * i + g][column]) = upper;
          *reinterpret_cast<float2*>(&half[16 * i + g + 8][column]) = lower;
        }
      }
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kFour; i++) {
#pragma unroll
      for (int j = 0; j < LargeTile::kThreadColumns; j += kFour) {
        const float4 four =
            *reinterpret_cast<const float4*>(&half[own.first_row + i][own.column(j)]);
        float* to = &sums[h * kFour + i][j];
        to[0] = four.x;
        to[1] = four.y;
        to[2] = four.z;
        to[3] = four.w;
      }
    }
  }
}

// The product by this path, as a kernel's parameter. Overwrites `sums`.
struct MmaLoop {
  using Shape = LargeTile;
  using Shared = MmaTiles;
  static constexpr int kDepth = kMmaDepth;
  static constexpr int kRun = kEight;
  static constexpr int kResident = 1;

  template <class A, class B>
  static __device__ __forceinline__ void add(Shared& tiles, const A& a, const B& b, int begin,
                                             int end, const ThreadTile<Shape>& own,
                                             Sums<Shape>& sums) {
    MmaStaged<A> of_a(a);
    MmaStaged<B> of_b(b);
    const MmaWarp warp;
    MmaSums of_warp = {};
    auto& stages = tiles.memory.stages;
    of_a.load(begin);
    of_b.load(begin);
    int stage = 0;
    for (int left = end - begin; left > 0; left -= kDepth) {
      of_a.store(stages.a[stage]);
      of_b.store(stages.b[stage]);
      __syncthreads();
      if (left > kDepth) {
        of_a.load(end - left + kDepth);
        of_b.load(end - left + kDepth);
      }
      mma_step<A::kAlongDepth, B::kAlongDepth>(stages.a[stage], stages.b[stage], warp, of_warp);
      stage ^= 1;
    }
    exchange_sums(tiles, warp, of_warp, own, sums);
  }
};

}  // namespace remoe
