// What becomes of a tile. Thread `lane` of a warp holds, for column block j (8 columns) of 32 and
// q in 0..3, row lane / 4 + q / 2 * 8 of the warp's 16 and column 8 j + 2 (lane % 4) + q % 2 in
// sum[4 j + q].
//
// An epilogue takes the tile in chunks. `load` has the producer fetch what a chunk reads, `put`
// writes a warp's rows of it to its consumer's blocks of a stage, `send` starts them to memory.
#pragma once

#include "gemm/grouped_consumer.h"

namespace remoe::grouped {

constexpr int kFloatSide = kRowBytes / 4;  // columns of a block of fp32

// A warp's rows of a tile.
struct WarpRows {
  static constexpr int kLoadBytes = 0;
  int warp;
  int lane;
  int first;  // of the tile
  int valid;  // of the 16; may be negative

  static __device__ __forceinline__ void load(Stage&, Barrier*, const Arguments&, const Maps&,
                                              const Tile&, int) {}

  __device__ __forceinline__ void begin(const Arguments&, const Tile& tile, int group, int warp_,
                                        int lane_) {
    warp = warp_;
    lane = lane_;
    first = group * kSide + warp * kWarpRows;
    valid = tile.rows - first;
  }
  __device__ __forceinline__ void end(const Arguments&, const Tile&) const {}

  // The first of the warp's rows in a block.
  __device__ __forceinline__ Bf16* rows_in(Block& block) const {
    return &block.element[warp * kWarpRows * kSide];
  }

  // This lane's two neighbours in column block `j` of a block's 8, in the upper or lower half.
  __device__ __forceinline__ Bf16* pair(Block& block, int j, int half) const {
    const int row = warp * kWarpRows + lane / 4 + half * 8;
    return &block.element[swizzled(row, j) + lane % 4 * 2];
  }
  // The same in a block of fp32, of `j` in 4.
  __device__ __forceinline__ Bf16* float_pair(Block& block, int j, int half) const {
    const int row = warp * kWarpRows + lane / 4 + half * 8;
    return &block.element[swizzled(row, j * 2 + lane % 4 / 2) + lane % 2 * 4];
  }

  // A block's columns from `column` on to `out`, T's row 0 of the warp, where the map's coordinate
  // x is `column`, and y and z are given. Where the group's rows end within the warp's, the lanes
  // store them: the rows behind are another group's.
  template <class T>
  __device__ __forceinline__ void send_rows(Block& block, const TensorMap& map, int column,
                                            int columns, int y, int z, T* out, size_t pitch,
                                            int rows) const {
    constexpr int kCount = 16 / sizeof(T);
    if (rows <= 0 || column >= columns) return;
    if (rows >= kWarpRows) {
      if (lane == 0) store_box(map, column, y, z, rows_in(block));
      return;
    }
#pragma unroll
    for (int r = lane / 8; r < kWarpRows; r += kWarp / 8) {
      const int c = lane % 8;
      if (r >= rows || column + c * kCount >= columns) continue;
      *reinterpret_cast<uint4*>(out + static_cast<size_t>(r) * pitch + column + c * kCount) =
          shared_get_16(rows_in(block) + swizzled(r, c));
    }
  }
};

// C = alpha A B in bf16, of a dense product: its rows end with the map.
struct StoreBf16 : WarpRows {
  static constexpr int kBlocks = 2;  // of a chunk
  static constexpr int kChunks = kTileColumns / kSide / kBlocks;

  __device__ __forceinline__ void put(Block* to, const Arguments& a,
                                      const float (&sum)[kAccumulators], int chunk) const {
#pragma unroll
    for (int b = 0; b < kBlocks; b++) {
#pragma unroll
      for (int j = 0; j < 8; j++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
          const int n = ((chunk * kBlocks + b) * 8 + j) * 4 + half * 2;
          shared_put(pair(to[b], j, half),
                     to_bf16_pair(a.alpha * sum[n], a.alpha * sum[n + 1]).bits);
        }
      }
    }
  }

  __device__ __forceinline__ void send(Block* from, const Arguments& a, const Maps& maps,
                                       const Tile& tile, int chunk) const {
    if (lane != 0) return;
#pragma unroll
    for (int b = 0; b < kBlocks; b++) {
      const int column = tile.column + (chunk * kBlocks + b) * kSide;
      if (column < a.columns && valid > 0) {
        store_box(maps.out, column, tile.row + first, 0, rows_in(from[b]));
      }
    }
    commit_stores();
  }
};

// C in fp32. kOwn: a group has its own C [groups, rows, columns], whose rows end with the map, and
// alpha A B may be added to it, each element once. Else C [rows, columns] has all groups' rows.
template <bool kOwn>
struct StoreFloat : WarpRows {
  static constexpr int kBlocks = kTileColumns / kFloatSide;  // of the tile
  static constexpr int kChunks = (kBlocks + kChunkBlocks - 1) / kChunkBlocks;

  __device__ __forceinline__ void put(Block* to, const Arguments& a,
                                      const float (&sum)[kAccumulators], int chunk) const {
    const float alpha = kOwn ? a.alpha : 1.0f;
#pragma unroll
    for (int b = 0; b < kChunkBlocks; b++) {
      if (chunk * kChunkBlocks + b >= kBlocks) continue;
#pragma unroll
      for (int j = 0; j < kFloatSide / 8; j++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
          const int n = ((chunk * kChunkBlocks + b) * (kFloatSide / 8) + j) * 4 + half * 2;
          shared_put(float_pair(to[b], j, half), alpha * sum[n], alpha * sum[n + 1]);
        }
      }
    }
  }

  __device__ __forceinline__ void send(Block* from, const Arguments& a, const Maps& maps,
                                       const Tile& tile, int chunk) const {
    const int row = tile.row + first;
#pragma unroll
    for (int b = 0; b < kChunkBlocks; b++) {
      const int column = tile.column + (chunk * kChunkBlocks + b) * kFloatSide;
      if (chunk * kChunkBlocks + b >= kBlocks || column >= a.columns || valid <= 0) continue;
      if constexpr (!kOwn) {
        float* out = static_cast<float*>(a.out) + static_cast<size_t>(row) * a.columns;
        send_rows(from[b], maps.out, column, a.columns, row, 0, out, a.columns, valid);
      } else if (lane == 0 && a.accumulate) {
        add_box(maps.out, column, row, tile.group, rows_in(from[b]));
      } else if (lane == 0) {
        store_box(maps.out, column, row, tile.group, rows_in(from[b]));
      }
    }
    if (lane == 0) commit_stores();
  }
};

}  // namespace remoe::grouped
