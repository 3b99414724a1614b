// What becomes of a tile. Thread `lane` of a warp holds, for column block j (8 columns) of 32 and
// q in 0..3, row lane / 4 + q / 2 * 8 of the warp's 16 and column 8 j + 2 (lane % 4) + q % 2 in
// sum[4 j + q].
//
// An epilogue takes the tile in chunks. `load` has the producer fetch what a chunk reads, `put`
// writes a warp's rows of it to its consumer's blocks of a stage, `send` starts them to memory.
#pragma once

#include "engine.h"

namespace remoe {

// Four lanes that differ in bits `kBit` and `2 kBit` of their number; lane i of them gives word k
// of chunk j in v[j] where i = k, and afterwards holds the four words of chunk i. Its own inverse.
template <int kBit, class T>
__device__ __forceinline__ void transpose_4(T (&v)[4], int i) {
  const bool odd = i & 1;
  const bool upper = i & 2;
  T x = shuffle_xor(odd ? v[0] : v[1], kBit);
  T y = shuffle_xor(odd ? v[2] : v[3], kBit);
  if (odd) {
    v[0] = x;
    v[2] = y;
  } else {
    v[1] = x;
    v[3] = y;
  }
  x = shuffle_xor(upper ? v[0] : v[2], 2 * kBit);
  y = shuffle_xor(upper ? v[1] : v[3], 2 * kBit);
  if (upper) {
    v[0] = x;
    v[1] = y;
  } else {
    v[2] = x;
    v[3] = y;
  }
}

__device__ __forceinline__ void store_16(void* to, const uint32_t (&v)[4]) {
  *static_cast<uint4*>(to) = make_uint4(v[0], v[1], v[2], v[3]);
}

constexpr int kGradientSide = kRowBytes / 4;  // columns of a block in fp32

// A warp's rows of a tile.
struct WarpRows {
  int warp;
  int lane;
  int first;  // of the tile
  int valid;  // of the 16; may be negative
  static constexpr int kLoadBytes = 0;

  static __device__ __forceinline__ void prefetch(const Maps& maps) { prefetch_map(maps.out); }
  static __device__ __forceinline__ void load(Stage&, Barrier*, const Maps&, const Tile&, int) {}

  __device__ __forceinline__ void begin(const Arguments&, const Tile& tile, int group, int warp_,
                                        int lane_) {
    warp = warp_;
    lane = lane_;
    first = group * kSide + warp * kWarpRows;
    valid = tile.rows - first;
  }
  __device__ __forceinline__ void end(const Arguments&, const Tile&) const {}

  // The first of the warp's rows in a block.
  __device__ __forceinline__ bf16* rows_in(Block& block) const {
    return &block.element[warp * kWarpRows * kSide];
  }

  // This lane's two neighbours in column block `j` of a block's 8, in the upper or lower half.
  __device__ __forceinline__ bf16* pair(Block& block, int j, int half) const {
    const int row = warp * kWarpRows + lane / 4 + half * 8;
    return &block.element[swizzled(row, j) + lane % 4 * 2];
  }

  // 64 columns from `column` on to `out`, where coordinate x is `column`, and y and z are given.
  // Where the expert's rows end within the warp's, the lanes store them: the rows behind are
  // another expert's.
  __device__ __forceinline__ void send_block(Block& block, const TensorMap& map, int column,
                                             int columns, int y, int z, bf16* out,
                                             int pitch) const {
    if (valid <= 0 || column >= columns) return;
    if (valid >= kWarpRows) {
      if (lane == 0) store_box(map, column, y, z, rows_in(block));
      return;
    }
#pragma unroll
    for (int r = lane / 8; r < kWarpRows; r += kWarp / 8) {
      const int c = lane % 8;
      if (r >= valid || column + c * 8 >= columns) continue;
      *reinterpret_cast<uint4*>(out + static_cast<size_t>(r) * pitch + column + c * 8) =
          shared_get_16(rows_in(block) + swizzled(r, c));
    }
  }
};

// out [rows, columns] in bf16.
struct Store : WarpRows {
  static constexpr int kBlocks = 2;  // of a chunk
  static constexpr int kChunks = kTileColumns / kSide / kBlocks;

  __device__ __forceinline__ void put(Block* to, const float (&sum)[kAccumulators],
                                      int chunk) const {
#pragma unroll
    for (int b = 0; b < kBlocks; b++) {
#pragma unroll
      for (int j = 0; j < 8; j++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
          const int n = ((chunk * kBlocks + b) * 8 + j) * 4 + half * 2;
          shared_put(pair(to[b], j, half), pack(sum[n], sum[n + 1]));
        }
      }
    }
  }

  __device__ __forceinline__ void send(Block* from, const Arguments& a, const Maps& maps,
                                       const Tile& tile, int chunk) const {
    const int row = tile.row + first;
    bf16* out = static_cast<bf16*>(a.out) + static_cast<size_t>(row) * a.columns;
#pragma unroll
    for (int b = 0; b < kBlocks; b++) {
      const int column = tile.column + (chunk * kBlocks + b) * kSide;
      send_block(from[b], maps.out, column, a.columns, row, 0, out, a.columns);
    }
    if (lane == 0) commit_stores();
  }
};

// out2 [rows, 2 columns]: gate and up; out [rows, columns]: silu(gate) * up. Either may be absent.
struct SwiGlu : WarpRows {
  static constexpr int kChunks = kTileColumns / 2 / kSide;

  static __device__ __forceinline__ void prefetch(const Maps&) {}

  __device__ __forceinline__ void put(Block* to, const float (&sum)[kAccumulators],
                                      int chunk) const {
#pragma unroll
    for (int j = 0; j < 8; j++) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const int n = (chunk * 8 + j) * 4 + half * 2;
        const float* gate = &sum[n];
        const float* up = &sum[kAccumulators / 2 + n];
        shared_put(pair(to[0], j, half), pack(gate[0], gate[1]));
        shared_put(pair(to[1], j, half), pack(up[0], up[1]));
        shared_put(pair(to[2], j, half),
                   pack(gate[0] * sigmoid(gate[0]) * up[0], gate[1] * sigmoid(gate[1]) * up[1]));
      }
    }
  }

  __device__ __forceinline__ void send(Block* from, const Arguments& a, const Maps& maps,
                                       const Tile& tile, int chunk) const {
    const int column = tile.column + chunk * kSide;
    const int row = tile.row + first;
    if (a.out2 != nullptr) {
      bf16* h = static_cast<bf16*>(a.out2) + static_cast<size_t>(row) * 2 * a.columns;
#pragma unroll
      for (int b = 0; b < 2; b++) {
        send_block(from[b], maps.out2, column, a.columns, b, row, h + b * a.columns, 2 * a.columns);
      }
    }
    if (a.out != nullptr) {
      bf16* out = static_cast<bf16*>(a.out) + static_cast<size_t>(row) * a.columns;
      send_block(from[2], maps.out, column, a.columns, row, 0, out, a.columns);
    }
    if (lane == 0) commit_stores();
  }
};

// The tile is dA', the gradient of the expert's output through W2 alone. With A = silu(gate) * up
// from h, and the row's gate s: out [rows, 2 columns] = dH = dSwiGLU(s dA'), out2 = s A, and
// partial = <dA', A> over the tile's columns. dH takes the place of h in the stage.
struct SwiGluGradient : WarpRows {
  static constexpr int kChunks = kTileColumns / kSide;
  static constexpr int kLoadBytes = kConsumers * 2 * kBlockBytes;
  float gate[2];  // of the lane's rows
  float dot[2];

  static __device__ __forceinline__ void prefetch(const Maps& maps) {
    prefetch_map(maps.h);
    prefetch_map(maps.out);
    prefetch_map(maps.out2);
  }

  static __device__ __forceinline__ void load(Stage& stage, Barrier* full, const Maps& maps,
                                              const Tile& tile, int chunk) {
    for (int group = 0; group < kConsumers; group++) {
      for (int half = 0; half < 2; half++) {
        copy_box(&stage.chunk(group)[half], maps.h, tile.column + chunk * kSide, half,
                 tile.row + group * kSide, full);
      }
    }
  }

  __device__ __forceinline__ void begin(const Arguments& a, const Tile& tile, int group, int warp_,
                                        int lane_) {
    WarpRows::begin(a, tile, group, warp_, lane_);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = lane / 4 + half * 8;
      gate[half] = row < valid ? a.row_gate[tile.row + first + row] : 0.0f;
      dot[half] = 0.0f;
    }
  }

  struct Element {
    float gate;  // d gate
    float up;    // d up
    float a;     // s A
  };

  __device__ __forceinline__ Element element(float gradient, float x, float up, int half) {
    const float sig = sigmoid(x);
    const float silu = x * sig;
    const float a = silu * up;
    const float da = gate[half] * gradient;
    dot[half] += gradient * a;
    return {da * up * (sig + silu * (1.0f - sig)), da * silu, gate[half] * a};
  }

  __device__ __forceinline__ void put(Block* to, const float (&sum)[kAccumulators], int chunk) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      uint32_t x[8], up[8];
#pragma unroll
      for (int j = 0; j < 8; j++) {
        x[j] = shared_get(pair(to[0], j, half));
        up[j] = shared_get(pair(to[1], j, half));
      }
#pragma unroll
      for (int j = 0; j < 8; j++) {
        const int n = (chunk * 8 + j) * 4 + half * 2;
        const Element e = element(sum[n], low_half(x[j]), low_half(up[j]), half);
        const Element o = element(sum[n + 1], high_half(x[j]), high_half(up[j]), half);
        shared_put(pair(to[0], j, half), pack(e.gate, o.gate));
        shared_put(pair(to[1], j, half), pack(e.up, o.up));
        shared_put(pair(to[2], j, half), pack(e.a, o.a));
      }
    }
  }

  __device__ __forceinline__ void send(Block* from, const Arguments& a, const Maps& maps,
                                       const Tile& tile, int chunk) const {
    const int column = tile.column + chunk * kSide;
    const int row = tile.row + first;
    bf16* dh = static_cast<bf16*>(a.out) + static_cast<size_t>(row) * 2 * a.columns;
#pragma unroll
    for (int b = 0; b < 2; b++) {
      send_block(from[b], maps.out, column, a.columns, b, row, dh + b * a.columns, 2 * a.columns);
    }
    bf16* out2 = static_cast<bf16*>(a.out2) + static_cast<size_t>(row) * a.columns;
    send_block(from[2], maps.out2, column, a.columns, row, 0, out2, a.columns);
    if (lane == 0) commit_stores();
  }

  __device__ __forceinline__ void end(const Arguments& a, const Tile& tile) const {
    const int tiles = divide_up(a.columns, kTileColumns);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float total = dot[half];
      total += shuffle_xor(total, 1);
      total += shuffle_xor(total, 2);
      const int row = lane / 4 + half * 8;
      if (lane % 4 != 0 || row >= valid) continue;
      a.partial[static_cast<size_t>(tile.row + first + row) * tiles + tile.column / kTileColumns] =
          total;
    }
  }
};

// out [experts, rows, columns] in fp32; added to it where asked, each element once.
struct StoreGradient : WarpRows {
  static constexpr int kBlocks = kTileColumns / kGradientSide;  // of the tile
  static constexpr int kChunks = (kBlocks + kChunkBlocks - 1) / kChunkBlocks;

  __device__ __forceinline__ void put(Block* to, const float (&sum)[kAccumulators],
                                      int chunk) const {
#pragma unroll
    for (int b = 0; b < kChunkBlocks; b++) {
      if (chunk * kChunkBlocks + b >= kBlocks) continue;
#pragma unroll
      for (int j = 0; j < kGradientSide / 8; j++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
          const int n = ((chunk * kChunkBlocks + b) * (kGradientSide / 8) + j) * 4 + half * 2;
          const int row = warp * kWarpRows + lane / 4 + half * 8;
          const int place = swizzled(row, j * 2 + lane % 4 / 2) + lane % 2 * 4;
          shared_put(&to[b].element[place], sum[n], sum[n + 1]);
        }
      }
    }
  }

  __device__ __forceinline__ void send(Block* from, const Arguments& a, const Maps& maps,
                                       const Tile& tile, int chunk) const {
    if (lane != 0) return;
#pragma unroll
    for (int b = 0; b < kChunkBlocks; b++) {
      const int column = tile.column + (chunk * kChunkBlocks + b) * kGradientSide;
      if (chunk * kChunkBlocks + b >= kBlocks || column >= a.columns || valid <= 0) continue;
      if (a.accumulate) {
        add_box(maps.out, column, tile.row + first, tile.expert, rows_in(from[b]));
      } else {
        store_box(maps.out, column, tile.row + first, tile.expert, rows_in(from[b]));
      }
    }
    commit_stores();
  }
};

// ---- the six products of a layer of experts

template <bool kGatherA_, bool kGatherB_, bool kGroupedDepth_, bool kTransposedB_, bool kPaired_,
          class E>
struct Product {
  static constexpr bool kGatherA = kGatherA_;
  static constexpr bool kGatherB = kGatherB_;
  static constexpr bool kGroupedDepth = kGroupedDepth_;
  static constexpr bool kTransposedB = kTransposedB_;
  static constexpr bool kPaired = kPaired_;
  using Epilogue = E;
};

using UpProduct = Product<true, false, false, false, true, SwiGlu>;
using DownProduct = Product<false, false, false, false, false, Store>;
using ActivationGradient = Product<true, false, false, true, false, SwiGluGradient>;
using InputGradient = Product<false, false, false, true, false, Store>;
using UpWeightGradient = Product<true, false, true, false, false, StoreGradient>;
using DownWeightGradient = Product<false, true, true, false, false, StoreGradient>;

}  // namespace remoe
