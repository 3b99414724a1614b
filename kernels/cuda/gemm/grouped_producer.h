// The warpgroup that fills the ring. Weights and contiguous rows come by the bulk tensor copy
// (TMA), gathered rows by 16-byte copies; both count on the stage's `full` barrier, so that no
// thread waits for data it does not use.
//
// Nothing is padded in memory: rows beyond the group's end are not stored, and where a grouped
// depth ends within a stage both operands come by 16-byte copies with zeros behind the end, since
// zeros in one alone would not cancel a NaN in the other.
#pragma once

#include "gemm/grouped_stages.h"

namespace remoe::grouped {

// A thread copies chunk `chunk` of rows `row + 16 q` of every block.
struct Lane16 {
  int row;
  int chunk;
};
__device__ __forceinline__ Lane16 lane16(int thread) { return {thread / 8, thread % 8}; }
constexpr int kPasses = kSide / (kWarpgroup / 8);

// Gathered rows of A, K-major: the rows stay the same over the depth.
struct GatheredRows {
  const Bf16* row[kBlocksA * kPasses];

  __device__ __forceinline__ void begin(const Arguments& a, const Tile& tile, Lane16 lane) {
    const int32_t* token = a.groups.plan.row_token() + tile.row;
#pragma unroll
    for (int q = 0; q < kBlocksA * kPasses; q++) {
      const int r = lane.row + q * (kSide / kPasses);
      row[q] = r < tile.rows ? a.a + static_cast<size_t>(token[r]) * a.a_stride : nullptr;
    }
  }

  __device__ __forceinline__ void copy(Block* to, const Arguments& a, const Tile& tile, int k,
                                       Lane16 lane) const {
    const int column = k + lane.chunk * 8;
#pragma unroll
    for (int q = 0; q < kBlocksA * kPasses; q++) {
      const int r = lane.row + q % kPasses * (kSide / kPasses);
      const bool inside = row[q] != nullptr && column < tile.depth;
      copy_16(&to[q / kPasses].element[swizzled(r, lane.chunk)], inside ? row[q] + column : a.a,
              inside);
    }
  }
};

// The rows in memory of one step of a grouped depth, or -1 behind its end. Tokens of gathered rows
// are read one step ahead.
struct DepthRows {
  int row[kPasses];

  __device__ __forceinline__ void count(const Tile& tile, int k, Lane16 lane) {
#pragma unroll
    for (int q = 0; q < kPasses; q++) {
      const int r = k + lane.row + q * (kSide / kPasses);
      row[q] = r < tile.depth ? tile.start + r : -1;
    }
  }

  __device__ __forceinline__ void gather(const Arguments& a, const Tile& tile, int k, Lane16 lane) {
    count(tile, k, lane);
    const int32_t* token = a.groups.plan.row_token();
#pragma unroll
    for (int q = 0; q < kPasses; q++) {
      if (row[q] >= 0) row[q] = token[row[q]];
    }
  }

  // Columns `column` and on of a matrix with `columns` of them, MN-major.
  template <int kBlocks>
  __device__ __forceinline__ void copy(Block* to, const Bf16* matrix, int columns, int column,
                                       Lane16 lane) const {
#pragma unroll
    for (int q = 0; q < kPasses; q++) {
      const int place = swizzled(lane.row + q * (kSide / kPasses), lane.chunk);
      const Bf16* from = matrix + (row[q] < 0 ? 0 : static_cast<size_t>(row[q]) * columns);
#pragma unroll
      for (int b = 0; b < kBlocks; b++) {
        const int c = column + b * kSide + lane.chunk * 8;
        const bool inside = row[q] >= 0 && c < columns;
        copy_16(&to[b].element[place], inside ? from + c : matrix, inside);
      }
    }
  }
};

template <class P>
__device__ __forceinline__ void copy_a(Block* to, Barrier* full, const Maps& maps, const Tile& tile,
                                       int k) {
#pragma unroll
  for (int b = 0; b < kBlocksA; b++) {
    const int row = tile.row + b * kSide;
    if (P::kGroupedDepth) {
      copy_box(&to[b], maps.a, row, tile.start + k, 0, full);
    } else {
      copy_box(&to[b], maps.a, k, row, 0, full);
    }
  }
}

template <class P>
__device__ __forceinline__ void copy_b(Block* to, Barrier* full, const Arguments& a,
                                       const Maps& maps, const Tile& tile, int k) {
#pragma unroll
  for (int b = 0; b < kBlocksB; b++) {
    const int column =
        P::kPaired ? b / 2 * a.columns + tile.column + b % 2 * kSide : tile.column + b * kSide;
    const int depth = tile.start + k;
    const int x = P::kTransposedB ? depth : column;
    const int y = P::kTransposedB ? column : depth;
    copy_box(&to[b], maps.b, x, y, P::kGroupedDepth ? 0 : tile.group, full);
  }
}

template <class P>
__device__ __forceinline__ void produce(Shared& s, const Arguments& a, const Maps& maps,
                                        int thread) {
  using E = typename P::Epilogue;
  constexpr bool kGather = P::kGatherA || P::kGatherB;
  if (!kGather && thread != 0) return;
  constexpr int kBytes =
      ((P::kGatherA ? 0 : kBlocksA) + (P::kGatherB ? 0 : kBlocksB)) * kBlockBytes;
  const Lane16 lane = lane16(thread);
  [[maybe_unused]] GatheredRows gathered;
  [[maybe_unused]] DepthRows ahead;
  int step = 0;
  Tile tile;
  BlockTiles<P> tiles{s.schedule, a};
  while (tiles.next(tile)) {
    if constexpr (kGather && P::kGroupedDepth) {
      ahead.gather(a, tile, 0, lane);
    } else if constexpr (P::kGatherA) {
      gathered.begin(a, tile, lane);
    }
    for (int k = 0; k < tile.depth; k += kDepth, step++) {
      const Place at = place_of(step);
      Stage& stage = s.stage[at.slot];
      Barrier* full = &s.full[at.slot];
      // Without gathered rows the depth ends with the tensor, where boxes have zeros.
      const bool ragged = kGather && P::kGroupedDepth && tile.depth - k < kDepth;
      wait(&s.empty[at.slot], at.phase ^ 1);
      if (thread == 0) {
        if (ragged) {
          arrive(full);
        } else {
          arrive_expect(full, kBytes);
          if constexpr (!P::kGatherA) copy_a<P>(stage.a(), full, maps, tile, k);
          if constexpr (!P::kGatherB) copy_b<P>(stage.b(), full, a, maps, tile, k);
        }
      }
      if constexpr (kGather && P::kGroupedDepth) {
        DepthRows rows;
        if (ragged) rows.count(tile, k, lane);
        if (P::kGatherA) {
          ahead.copy<kBlocksA>(stage.a(), a.a, a.rows, tile.row, lane);
        } else if (ragged) {
          rows.copy<kBlocksA>(stage.a(), a.a, a.rows, tile.row, lane);
        }
        if (P::kGatherB) {
          ahead.copy<kBlocksB>(stage.b(), a.b, a.columns, tile.column, lane);
        } else if (ragged) {
          rows.copy<kBlocksB>(stage.b(), a.b, a.columns, tile.column, lane);
        }
        ahead.gather(a, tile, k + kDepth, lane);
      } else if constexpr (P::kGatherA) {
        gathered.copy(stage.a(), a, tile, k, lane);
      }
      if constexpr (kGather) arrive_copies(full);
    }
    for (int chunk = 0; chunk < E::kChunks; chunk++, step++) {
      const Place at = place_of(step);
      Barrier* full = &s.full[at.slot];
      wait(&s.empty[at.slot], at.phase ^ 1);
      if (thread == 0) {
        arrive_expect(full, E::kLoadBytes);
        E::load(s.stage[at.slot], full, a, maps, tile, chunk);
      }
      if constexpr (kGather) arrive(full);
    }
  }
  if constexpr (kGather) wait_copies();
}

}  // namespace remoe::grouped
