// SwiGLU and its gradient on the tiles of the experts' products.
#pragma once

#include "device/fast_math.h"
#include "gemm/grouped_epilogues.h"

namespace remoe::grouped {

__device__ __forceinline__ float sigmoid_fast(float x) {
  return divide_fast(1.0f, 1.0f + exp_fast(-x));
}

// A warp's rows with their gates.
struct GatedRows : WarpRows {
  float gate[2];  // of the lane's rows

  __device__ __forceinline__ void begin(const Arguments& a, const Tile& tile, int group, int warp_,
                                        int lane_) {
    WarpRows::begin(a, tile, group, warp_, lane_);
    const PlanView& plan = a.groups.plan;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = lane / 4 + half * 8;
      gate[half] = 0.0f;
      if (row >= valid || a.gates == nullptr) continue;
      const int32_t token = plan.row_token()[tile.row + first + row];
      gate[half] = a.gates[static_cast<size_t>(token) * plan.experts + tile.group];
    }
  }
};

// Pre-activations of a pair, rounded as h keeps them.
struct Rounded {
  Bf16Pair both;
  __device__ __forceinline__ explicit Rounded(const float* sum)
      : both(to_bf16_pair(sum[0], sum[1])) {}
  __device__ __forceinline__ float low() const { return low_of(both); }
  __device__ __forceinline__ float high() const { return high_of(both); }
};

__device__ __forceinline__ float activation(float g, float u) { return g * sigmoid_fast(g) * u; }

// out2 [rows, 2 columns]: h = (g | u) of the rows that are kept; out [rows, columns]: a = gate
// silu(g) u. Either may be absent.
struct SwiGlu : GatedRows {
  static constexpr int kChunks = kTileColumns / 2 / kSide;

  __device__ __forceinline__ void put(Block* to, const Arguments&,
                                      const float (&sum)[kAccumulators], int chunk) const {
#pragma unroll
    for (int j = 0; j < 8; j++) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const int n = (chunk * 8 + j) * 4 + half * 2;
        const Rounded g(&sum[n]);
        const Rounded u(&sum[kAccumulators / 2 + n]);
        shared_put(pair(to[0], j, half), g.both.bits);
        shared_put(pair(to[1], j, half), u.both.bits);
        shared_put(pair(to[2], j, half), to_bf16_pair(gate[half] * activation(g.low(), u.low()),
                                                      gate[half] * activation(g.high(), u.high()))
                                             .bits);
      }
    }
  }

  __device__ __forceinline__ void send(Block* from, const Arguments& a, const Maps& maps,
                                       const Tile& tile, int chunk) const {
    const int column = tile.column + chunk * kSide;
    const int row = tile.row + first;
    if (a.out2 != nullptr) {
      const size_t pitch = 2 * static_cast<size_t>(a.columns);
      Bf16* h = static_cast<Bf16*>(a.out2) + row * pitch;
      const int kept = a.kept_rows - row;
#pragma unroll
      for (int b = 0; b < 2; b++) {
        send_rows(from[b], maps.out2, column, a.columns, b, row,
                  h + static_cast<size_t>(b) * a.columns, pitch, kept < valid ? kept : valid);
      }
    }
    if (a.out != nullptr) {
      Bf16* out = static_cast<Bf16*>(a.out) + static_cast<size_t>(row) * a.columns;
      send_rows(from[2], maps.out, column, a.columns, row, 0, out, a.columns, valid);
    }
    if (lane == 0) commit_stores();
  }
};

// The tile is dA', the gradient of the expert's output through W2 alone. With A = silu(g) u from h,
// and the row's gate: out [rows, 2 columns] = (dg | du) = dSwiGLU(gate dA'), out2 = gate A, and
// partial = <dA', A> over the tile's columns. (dg | du) takes the place of h in the stage.
//
// Where a tile has rows that were not kept, all of its h was recomputed into `out`, and is read
// before it is overwritten: by the same warps, since tiles are the same in both products.
struct SwiGluGradient : GatedRows {
  static constexpr int kChunks = kTileColumns / kSide;
  static constexpr int kLoadBytes = kConsumers * 2 * kBlockBytes;
  float dot[2];

  static __device__ __forceinline__ void load(Stage& stage, Barrier* full, const Arguments& a,
                                              const Maps& maps, const Tile& tile, int chunk) {
    const bool is_kept = tile.row + tile.rows <= a.kept_rows;
    for (int group = 0; group < kConsumers; group++) {
      for (int half = 0; half < 2; half++) {
        copy_box(&stage.chunk(group)[half], is_kept ? maps.h : maps.recomputed,
                 tile.column + chunk * kSide, half, tile.row + group * kSide, full);
      }
    }
  }

  __device__ __forceinline__ void begin(const Arguments& a, const Tile& tile, int group, int warp_,
                                        int lane_) {
    GatedRows::begin(a, tile, group, warp_, lane_);
    dot[0] = dot[1] = 0.0f;
  }

  struct Element {
    float dg;
    float du;
    float gated;  // gate A
  };

  __device__ __forceinline__ Element element(float gradient, float g, float u, int half) {
    const float sigmoid = sigmoid_fast(g);
    const float silu = g * sigmoid;
    const float a = silu * u;
    const float da = gate[half] * gradient;
    dot[half] += gradient * a;
    return {da * u * (sigmoid + silu * (1.0f - sigmoid)), da * silu, gate[half] * a};
  }

  __device__ __forceinline__ void put(Block* to, const Arguments&,
                                      const float (&sum)[kAccumulators], int chunk) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      Bf16Pair g[8], u[8];
#pragma unroll
      for (int j = 0; j < 8; j++) {
        g[j] = {shared_get(pair(to[0], j, half))};
        u[j] = {shared_get(pair(to[1], j, half))};
      }
#pragma unroll
      for (int j = 0; j < 8; j++) {
        const int n = (chunk * 8 + j) * 4 + half * 2;
        const Element e = element(sum[n], low_of(g[j]), low_of(u[j]), half);
        const Element o = element(sum[n + 1], high_of(g[j]), high_of(u[j]), half);
        shared_put(pair(to[0], j, half), to_bf16_pair(e.dg, o.dg).bits);
        shared_put(pair(to[1], j, half), to_bf16_pair(e.du, o.du).bits);
        shared_put(pair(to[2], j, half), to_bf16_pair(e.gated, o.gated).bits);
      }
    }
  }

  __device__ __forceinline__ void send(Block* from, const Arguments& a, const Maps& maps,
                                       const Tile& tile, int chunk) const {
    const int column = tile.column + chunk * kSide;
    const int row = tile.row + first;
    const size_t pitch = 2 * static_cast<size_t>(a.columns);
    Bf16* dh = static_cast<Bf16*>(a.out) + row * pitch;
#pragma unroll
    for (int b = 0; b < 2; b++) {
      send_rows(from[b], maps.out, column, a.columns, b, row,
                dh + static_cast<size_t>(b) * a.columns, pitch, valid);
    }
    Bf16* gated = static_cast<Bf16*>(a.out2) + static_cast<size_t>(row) * a.columns;
    send_rows(from[2], maps.out2, column, a.columns, row, 0, gated, a.columns, valid);
    if (lane == 0) commit_stores();
  }

  __device__ __forceinline__ void end(const Arguments& a, const Tile& tile) const {
    const int tiles = divide_up(a.columns, kTileColumns);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float total = dot[half];
      total += __shfl_xor_sync(kFullWarp, total, 1);
      total += __shfl_xor_sync(kFullWarp, total, 2);
      const int row = lane / 4 + half * 8;
      if (lane % 4 != 0 || row >= valid) continue;
      a.partial[static_cast<size_t>(tile.row + first + row) * tiles + tile.column / kTileColumns] =
          total;
    }
  }
};

}  // namespace remoe::grouped
