// What becomes of a tile of logits that the tensor cores have computed, while it is still in
// registers: its share of the normalizers, or its gradient. fp32 logits never reach memory.
#pragma once

#include "device/fast_math.h"
#include "gemm/grouped_epilogues.h"

namespace remoe::grouped {

// A lane has the same two rows of every column block, lane / 4 and 8 further, and shares them with
// the three lanes beside it.
constexpr int kLaneRows = 2;

// One of them in the matrix, or -1 where the tile has fewer rows.
__device__ __forceinline__ int row_of(const WarpRows& warp, const Tile& tile, int half) {
  const int row = warp.lane / 4 + half * 8;
  return row < warp.valid ? tile.row + warp.first + row : -1;
}

// The column, in the tile, of a lane's sum `4 * j + 2 * half + q`.
__device__ __forceinline__ int column_of(int lane, int j, int q) {
  return 8 * j + lane % 4 * 2 + q;
}

// For each row {maximum, sum of exponentials} of the tile's columns to `partial`, and its target's
// logit if that is among them. kKeep: the logits, rounded, to `out`.
template <bool kKeep>
struct NormalizeLogits : StoreBf16 {
  static constexpr int kChunks = kKeep ? StoreBf16::kChunks : 1;
  int row[kLaneRows];     // or -1
  int target[kLaneRows];  // in the tile, if it is there
  int tile_number;
  int columns;  // of the tile

  __device__ __forceinline__ void begin(const Arguments& a, const Tile& tile, int group, int warp_,
                                        int lane_) {
    StoreBf16::begin(a, tile, group, warp_, lane_);
    tile_number = tile.column / kTileColumns;
    columns = a.columns - tile.column;
#pragma unroll
    for (int half = 0; half < kLaneRows; half++) {
      row[half] = row_of(*this, tile, half);
      target[half] = row[half] < 0 ? -1 : a.targets[row[half]] - tile.column;
    }
  }

  __device__ __forceinline__ void put(Block* to, const Arguments& a,
                                      const float (&sum)[kAccumulators], int chunk) const {
    if (chunk == 0) {
#pragma unroll
      for (int half = 0; half < kLaneRows; half++) {
        // Most tiles are whole.
        if (columns >= kTileColumns) {
          write_normalizer<true>(a, sum, half);
        } else {
          write_normalizer<false>(a, sum, half);
        }
        write_target_logit(a, sum, half);
      }
    }
    if constexpr (kKeep) StoreBf16::put(to, a, sum, chunk);
  }

  __device__ __forceinline__ void send(Block* from, const Arguments& a, const Maps& maps,
                                       const Tile& tile, int chunk) const {
    if constexpr (kKeep) StoreBf16::send(from, a, maps, tile, chunk);
  }

 private:
  template <bool kWhole>
  __device__ __forceinline__ void write_normalizer(const Arguments& a,
                                                   const float (&sum)[kAccumulators],
                                                   int half) const {
    float largest = -INFINITY;
#pragma unroll
    for (int i = 0; i < kAccumulators / 2; i++) {
      if (kWhole || column_of(lane, i / 2, i % 2) < columns) {
        largest = fmaxf(largest, sum[i / 2 * 4 + half * 2 + i % 2]);
      }
    }
    largest = fmaxf(largest, __shfl_xor_sync(kFullWarp, largest, 1));
    largest = fmaxf(largest, __shfl_xor_sync(kFullWarp, largest, 2));
    // If all logits are -infinity, the difference of two of them would be NaN.
    const float shift = largest == -INFINITY ? 0.0f : largest;
    float total = 0.0f;
#pragma unroll
    for (int i = 0; i < kAccumulators / 2; i++) {
      if (kWhole || column_of(lane, i / 2, i % 2) < columns) {
        total += exp_fast(sum[i / 2 * 4 + half * 2 + i % 2] - shift);
      }
    }
    total += __shfl_xor_sync(kFullWarp, total, 1);
    total += __shfl_xor_sync(kFullWarp, total, 2);
    if (lane % 4 != 0 || row[half] < 0) return;
    const size_t tiles = divide_up(a.columns, kTileColumns);
    float* to = a.partial + (row[half] * tiles + tile_number) * 2;
    to[0] = largest;
    to[1] = total;
  }

  __device__ __forceinline__ void write_target_logit(const Arguments& a,
                                                     const float (&sum)[kAccumulators],
                                                     int half) const {
    if (target[half] < 0 || target[half] >= columns) return;
#pragma unroll
    for (int i = 0; i < kAccumulators / 2; i++) {
      // No other thread has this logit.
      if (column_of(lane, i / 2, i % 2) == target[half]) {
        a.target_logit[row[half]] = sum[i / 2 * 4 + half * 2 + i % 2];
      }
    }
  }
};

// dz = exp(z - m) * factor, less scale at the row's target, rounded, to `out`. `row_factors` has
// {m, factor, scale} of each row.
struct DifferentiateLogits : StoreBf16 {
  float largest[kLaneRows];
  float factor[kLaneRows];
  float scale[kLaneRows];
  int target[kLaneRows];  // in the tile, if it is there

  __device__ __forceinline__ void begin(const Arguments& a, const Tile& tile, int group, int warp_,
                                        int lane_) {
    StoreBf16::begin(a, tile, group, warp_, lane_);
#pragma unroll
    for (int half = 0; half < kLaneRows; half++) {
      const int row = row_of(*this, tile, half);
      const float* of_row = a.row_factors + 3 * static_cast<size_t>(row < 0 ? 0 : row);
      largest[half] = of_row[0];
      factor[half] = of_row[1];
      scale[half] = row < 0 ? 0.0f : of_row[2];
      target[half] = row < 0 ? -1 : a.targets[row] - a.first_target - tile.column;
    }
  }

  __device__ __forceinline__ void put(Block* to, const Arguments&,
                                      const float (&sum)[kAccumulators], int chunk) const {
#pragma unroll
    for (int b = 0; b < kBlocks; b++) {
#pragma unroll
      for (int j = 0; j < 8; j++) {
        const int block = (chunk * kBlocks + b) * 8 + j;
#pragma unroll
        for (int half = 0; half < kLaneRows; half++) {
          const int n = block * 4 + half * 2;
          const int column = column_of(lane, block, 0);
          const float low = gradient(sum[n], column, half);
          const float high = gradient(sum[n + 1], column + 1, half);
          shared_put(pair(to[b], j, half), to_bf16_pair(low, high).bits);
        }
      }
    }
  }

 private:
  __device__ __forceinline__ float gradient(float z, int column, int half) const {
    // An ignored row's logits may be anything.
    if (scale[half] == 0.0f) return 0.0f;
    const float p = exp_fast(z - largest[half]) * factor[half];
    return column == target[half] ? p - scale[half] : p;
  }
};

}  // namespace remoe::grouped
