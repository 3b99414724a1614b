// A block's tile of a product on the tensor cores that every device from compute capability 8.0 on
// has, of any sizes and addresses. A sum's bits do not depend on its place in the tile.
//
// fp32 is multiplied as the sum of three bf16 terms, which leave no remainder. The six products of
// terms that are not below 2^-24 of the largest are added up by the tensor cores, which truncate,
// from the smallest on, for 16 of the depth; the FMA cores add those sums to that of the depth.
//
// Operands lie in shared memory as they lie in device memory, along the depth or along their rows
// or columns: the loads of fragments transpose the latter. In units of 16 bytes, the positions in a
// row are permuted by the row's number, so that the eight rows that a fragment's load reads at once
// touch all banks.
//
// Elements pass through registers on their way to shared memory, rather than by asynchronous
// copies: those would take only rows that start at multiples of 16 bytes.
#pragma once

#include "device/bf16_terms.h"
#include "device/ldmatrix.h"
#include "device/mma.h"
#include "gemm/matrix_tile.h"

namespace remoe {

constexpr int kEight = 8;  // elements in 16 bytes of bf16

// How elements of T are multiplied.
template <class T>
struct MmaElement {
  static constexpr bool kIsBf16 = sizeof(T) == sizeof(Bf16);
  static constexpr int kPlanes = kIsBf16 ? 1 : kTerms;
  static constexpr int kDepth = kIsBf16 ? 32 : 16;  // of a step
  static constexpr int kRun = 16 / sizeof(T);       // elements of a load
};

// Of 128 by 128, by eight warps of 64 by 32.
template <class T>
struct MmaTiles {
  static constexpr int kExtent = 128;
  static constexpr int kWarpRows = 64;
  static constexpr int kWarpColumns = 32;

  using Planes = Bf16[MmaElement<T>::kPlanes][kExtent * MmaElement<T>::kDepth];
  union Memory {
    struct {
      Planes a[2];
      Planes b[2];
    } stages;
    float sums[kWarpRows][kExtent];  // half of the tile, on its way to the epilogue's threads
  };
  alignas(128) Memory memory;
};

// Position of the eight elements from (i, d) on in an operand's tile; one of the two is a multiple
// of eight, by kAlongDepth.
template <class T, bool kAlongDepth>
__device__ __forceinline__ int mma_position(int i, int d) {
  if constexpr (kAlongDepth) {
    // Rows of 64 or 32 bytes: two or four of them fill the banks, and are permuted alike.
    constexpr int kPerRow = MmaElement<T>::kDepth / kEight;
    return (i * kPerRow + (d / kEight ^ (i / (kEight / kPerRow) & (kPerRow - 1)))) * kEight;
  } else {
    return d * MmaTiles<T>::kExtent + (i / kEight ^ (d & 7)) * kEight;
  }
}

// A thread's share of one step of an operand.
template <class Operand>
class MmaStaged {
  using T = typename Operand::Element;
  using Planes = typename MmaTiles<T>::Planes;
  static constexpr bool kAlongDepth = Operand::kAlongDepth;
  static constexpr int kThreads = 256;
  static constexpr int kExtent = MmaTiles<T>::kExtent;
  static constexpr int kDepth = MmaElement<T>::kDepth;
  static constexpr int kLoads = kExtent * kDepth / kEight / kThreads;
  static constexpr int kPerRow = (kAlongDepth ? kDepth : kExtent) / kEight;
  static constexpr int kRun = MmaElement<T>::kRun;
  static constexpr int kRuns = kEight / kRun;

 public:
  __device__ __forceinline__ explicit MmaStaged(const Operand& operand) : operand_(operand) {
    if constexpr (kAlongDepth) {
#pragma unroll
      for (int l = 0; l < kLoads; l++) start_[l] = operand_.start_of(element(l));
    }
  }

  __device__ __forceinline__ void load(int depth) {
#pragma unroll
    for (int place = 0; place < kLoads * kRuns; place++) {
      const int l = place / kRuns, further = place % kRuns * kRun;
      T(&to)[kRun] = run_[l][place % kRuns];
      if constexpr (kAlongDepth) {
        operand_.load(to, start_[l], element(l), depth + step(l) + further);
      } else {
        operand_.load(to, element(l) + further, depth + step(l));
      }
    }
  }

  __device__ __forceinline__ void store(Planes& planes) const {
#pragma unroll
    for (int l = 0; l < kLoads; l++) {
      const int at = mma_position<T, kAlongDepth>(element(l), step(l));
      if constexpr (MmaElement<T>::kIsBf16) {
        Vector<Bf16, kEight> eight;
#pragma unroll
        for (int i = 0; i < kEight; i++) eight.element[i] = run_[l][0][i];
        store_vector(planes[0] + at, eight);
      } else {
        Vector<Bf16Pair, kEight / 2> eight[kTerms];
#pragma unroll
        for (int pair = 0; pair < kEight / 2; pair++) {
          const float(&from)[kRun] = run_[l][2 * pair / kRun];
          Bf16Pair terms[kTerms];
          split_pair(terms, from[2 * pair % kRun], from[2 * pair % kRun + 1]);
#pragma unroll
          for (int term = 0; term < kTerms; term++) eight[term].element[pair] = terms[term];
        }
#pragma unroll
        for (int term = 0; term < kTerms; term++) {
          store_vector(reinterpret_cast<Bf16Pair*>(planes[term] + at), eight[term]);
        }
      }
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
  T run_[kLoads][kRuns][kRun];
};

// 16 elements by 16 depths from (i, d) on, as the halves of a fragment: of A, its lower and upper
// rows and then those 8 deeper; of B, the lower columns, those 8 deeper, and then the upper
// columns.
template <class T, bool kAlongDepth, bool kOfA>
__device__ __forceinline__ void load_fragment(uint32_t (&to)[4], const Bf16* tile, int i, int d) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int matrix = lane / 8;
  const int upper = (kOfA ? matrix % 2 : matrix / 2) * 8;
  const int deeper = (kOfA ? matrix / 2 : matrix % 2) * 8;
  const int row = lane % 8;
  const int at = kAlongDepth ? mma_position<T, true>(i + upper + row, d + deeper)
                             : mma_position<T, false>(i + upper, d + deeper + row);
  load_matrices<!kAlongDepth>(to, tile + at);
}

// A warp's sums, as the tensor cores hold them.
struct MmaSums {
  static constexpr int kRowTiles = MmaTiles<Bf16>::kWarpRows / 16;
  static constexpr int kColumnTiles = MmaTiles<Bf16>::kWarpColumns / 8;
  float tile[kRowTiles][kColumnTiles][4];
};

// The warp's corner of the tile.
struct MmaWarp {
  int row;
  int column;

  __device__ __forceinline__ MmaWarp() {
    constexpr int kColumns = MmaTiles<Bf16>::kExtent / MmaTiles<Bf16>::kWarpColumns;
    const int warp = static_cast<int>(threadIdx.x) / 32;
    row = warp / kColumns * MmaTiles<Bf16>::kWarpRows;
    column = warp % kColumns * MmaTiles<Bf16>::kWarpColumns;
  }
};

// Adds a row of a warp's tiles times its columns, over 16 of the depth.
template <class T>
__device__ __forceinline__ void multiply_row(
    const uint32_t (&a)[MmaElement<T>::kPlanes][4],
    const uint32_t (&b)[MmaElement<T>::kPlanes][MmaSums::kColumnTiles / 2][4],
    float (&sums)[MmaSums::kColumnTiles][4]) {
  constexpr int kPlanes = MmaElement<T>::kPlanes;
  const auto multiply_terms = [&](float(&to)[MmaSums::kColumnTiles][4], int i, int j) {
#pragma unroll
    for (int column = 0; column < MmaSums::kColumnTiles; column++) {
      const uint32_t(&of_b)[4] = b[j][column / 2];
      multiply_16x8x16(to[column], a[i], of_b[column % 2 * 2], of_b[column % 2 * 2 + 1]);
    }
  };
  if constexpr (kPlanes == 1) {
    multiply_terms(sums, 0, 0);
  } else {
    float part[MmaSums::kColumnTiles][4] = {};
#pragma unroll
    for (int level = kPlanes - 1; level >= 0; level--) {
#pragma unroll
      for (int i = 0; i <= level; i++) multiply_terms(part, i, level - i);
    }
#pragma unroll
    for (int place = 0; place < MmaSums::kColumnTiles * 4; place++) {
      sums[place / 4][place % 4] += part[place / 4][place % 4];
    }
  }
}

template <class T, bool kAAlongDepth, bool kBAlongDepth>
__device__ __forceinline__ void mma_step(const typename MmaTiles<T>::Planes& a,
                                         const typename MmaTiles<T>::Planes& b, const MmaWarp& warp,
                                         MmaSums& sums) {
  constexpr int kPlanes = MmaElement<T>::kPlanes;
#pragma unroll
  for (int d = 0; d < MmaElement<T>::kDepth; d += 16) {
    uint32_t of_b[kPlanes][MmaSums::kColumnTiles / 2][4];
#pragma unroll
    for (int place = 0; place < kPlanes * MmaSums::kColumnTiles / 2; place++) {
      const int plane = place % kPlanes, j = place / kPlanes;
      load_fragment<T, kBAlongDepth, false>(of_b[plane][j], b[plane], warp.column + 16 * j, d);
    }
#pragma unroll
    for (int i = 0; i < MmaSums::kRowTiles; i++) {
      uint32_t of_a[kPlanes][4];
#pragma unroll
      for (int plane = 0; plane < kPlanes; plane++) {
        load_fragment<T, kAAlongDepth, true>(of_a[plane], a[plane], warp.row + 16 * i, d);
      }
      multiply_row<T>(of_a, of_b, sums.tile[i]);
    }
  }
}

// Hands the warps' sums to the threads of a LargeTile, half a tile at a time: the rows of a
// thread's first run are in the upper half, those of its second in the lower one.
template <class T>
__device__ __forceinline__ void exchange_sums(MmaTiles<T>& tiles, const MmaWarp& warp,
                                              const MmaSums& from, const ThreadTile<LargeTile>& own,
                                              Sums<LargeTile>& sums) {
  const int g = static_cast<int>(threadIdx.x) % 32 / 4;
  const int t = static_cast<int>(threadIdx.x) % 4;
  auto& half = tiles.memory.sums;
#pragma unroll
  for (int h = 0; h < 2; h++) {
    __syncthreads();
    if (warp.row == h * MmaTiles<T>::kWarpRows) {
#pragma unroll
      for (int i = 0; i < MmaSums::kRowTiles; i++) {
#pragma unroll
        for (int j = 0; j < MmaSums::kColumnTiles; j++) {
          const float(&of)[4] = from.tile[i][j];
          const int column = warp.column + 8 * j + 2 * t;
          *reinterpret_cast<float2*>(&half[16 * i + g][column]) = float2{of[0], of[1]};
          *reinterpret_cast<float2*>(&half[16 * i + g + 8][column]) = float2{of[2], of[3]};
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
template <class T>
struct MmaLoop {
  using Shape = LargeTile;
  using Shared = MmaTiles<T>;
  static constexpr int kDepth = MmaElement<T>::kDepth;
  static constexpr int kRun = MmaElement<T>::kRun;
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
      mma_step<T, A::kAlongDepth, B::kAlongDepth>(stages.a[stage], stages.b[stage], warp, of_warp);
      stage ^= 1;
    }
    exchange_sums(tiles, warp, of_warp, own, sums);
  }
};

}  // namespace remoe
