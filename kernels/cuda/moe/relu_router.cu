// ReLU routing, equation 5: gates = ReLU(x W), or another activation of it. The active-expert bits,
// the tokens per expert and the gate sums of the regularisation are computed from the tile while
// the block still holds it.

#include <cmath>

#include "device/block_scan.h"
#include "runtime/operation.h"
#include "moe/router_product.h"

namespace remoe {
namespace {

constexpr int kThreads = kRouterThreads;
constexpr int kWarps = kThreads / kWarp;

template <int kTileExperts>
union Tile {
  ProductTile<kTileExperts> product;
  struct {
    float gates[kTileTokens][kTileExperts + 1];
    float warp_sums[kWarps][kTileExperts];
    int32_t warp_counts[kWarps][kTileExperts];
  };
};

struct RouterArguments {
  float* gates;
  uint32_t* mask;
  int32_t* tile_counts;  // [token tiles, E]
  float* tile_sums;      // [token tiles, E]
  RouterOperands operands;
  int activation;
};

// The gate of a logit. Written so that NaN stays NaN: a diverged run must show rather than route
// nothing.
__device__ __forceinline__ float gate_of(float logit, int activation) {
  if (logit <= 0.0f) return 0.0f;
  if (activation == REMOE_GATE_RELU_SQUARED) return logit * logit;
  return activation == REMOE_GATE_TANH ? tanhf(logit) : logit;
}

// Each warp takes every eighth token, one lane per expert: the gates are stored in whole lines, a
// ballot over the lanes is one word of the mask, and each lane's running sums are those of its
// expert.
template <int kTileExperts>
__device__ __forceinline__ void write_gates(Tile<kTileExperts>& tile, const RouterArguments& a,
                                            int token0, int expert0) {
  const auto [x, w, tokens, hidden, experts] = a.operands;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int words = (experts + kWarp - 1) / kWarp;
  for (int word = 0; word < kTileExperts / kWarp; word++) {
    const int mask_word = expert0 / kWarp + word;
    const int expert = mask_word * kWarp + lane;
    float sum = 0.0f;
    int32_t count = 0;
    for (int row = warp; row < kTileTokens; row += kWarps) {
      const int token = token0 + row;
      const float gate = tile.gates[row][word * kWarp + lane];
      const uint32_t active = __ballot_sync(kFullWarp, gate != 0.0f);
      sum += gate;
      count += gate != 0.0f ? 1 : 0;
      if (token >= tokens) continue;
      if (expert < experts) a.gates[static_cast<size_t>(token) * experts + expert] = gate;
      if (lane == 0 && mask_word < words) {
        a.mask[static_cast<size_t>(token) * words + mask_word] = active;
      }
    }
    tile.warp_sums[warp][word * kWarp + lane] = sum;
    tile.warp_counts[warp][word * kWarp + lane] = count;
  }
}

// Two blocks per multiprocessor leave 128 registers per thread, enough to avoid spills.
template <int kTileExperts, bool kWide>
__global__ void __launch_bounds__(kThreads, 2) relu_router_kernel(RouterArguments a) {
  Tile<kTileExperts>& tile = gpu::shared<Tile<kTileExperts>>();
  const int tokens = a.operands.tokens;
  const int experts = a.operands.experts;
  const int thread = static_cast<int>(threadIdx.x);
  const int token0 = static_cast<int>(blockIdx.x) * kTileTokens;
  const int expert0 = static_cast<int>(blockIdx.y) * kTileExperts;
  const ThreadTile<kTileExperts> own;

  Logits<kTileExperts> logits = {};
  router_product<kTileExperts, kWide>(tile.product, a.operands, token0, expert0, own, logits);
  // The gates overwrite what slower warps may still be multiplying.
  __syncthreads();
#pragma unroll
  for (int i = 0; i < own.kTokens; i++) {
#pragma unroll
    for (int j = 0; j < own.kExperts; j++) {
      // Outside the matrices a logit may be nonzero: infinity or NaN times the padding is NaN.
      const bool inside = token0 + own.row + i < tokens && expert0 + own.column + j < experts;
      const float gate = inside ? gate_of(logits[i][j], a.activation) : 0.0f;
      tile.gates[own.row + i][own.column + j] = gate;
    }
  }
  __syncthreads();
  write_gates(tile, a, token0, expert0);
  __syncthreads();
  for (int e = thread; e < kTileExperts && expert0 + e < experts; e += kThreads) {
    float sum = 0.0f;
    int32_t count = 0;
    for (int warp = 0; warp < kWarps; warp++) {
      sum += tile.warp_sums[warp][e];
      count += tile.warp_counts[warp][e];
    }
    const size_t slot = static_cast<size_t>(blockIdx.x) * experts + expert0 + e;
    a.tile_sums[slot] = sum;
    a.tile_counts[slot] = count;
  }
}

// One warp per expert adds the tiles' partial results in a fixed order; floating-point atomics
// would add them in order of arrival.
__global__ void __launch_bounds__(kThreads)
    sum_tiles_kernel(int32_t* counts, float* gate_sums, const int32_t* tile_counts,
                     const float* tile_sums, int tiles, int experts) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int expert = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
  float sum = 0.0f;
  int32_t count = 0;
  for (int tile = lane; expert < experts && tile < tiles; tile += kWarp) {
    sum += tile_sums[static_cast<size_t>(tile) * experts + expert];
    count += tile_counts[static_cast<size_t>(tile) * experts + expert];
  }
  sum = warp_sum(sum);
  count = warp_sum(count);
  if (lane == 0 && expert < experts) {
    gate_sums[expert] = sum;
    counts[expert] = count;
  }
}

template <int kTileExperts>
void launch_router(Operation& op, const RouterArguments& a, int tiles) {
  const dim3 grid(tiles, (a.operands.experts + kTileExperts - 1) / kTileExperts);
  const auto kernel = has_wide_rows(a.operands) ? relu_router_kernel<kTileExperts, true>
                                                : relu_router_kernel<kTileExperts, false>;
  op.launch(kernel, grid, dim3(kThreads), sizeof(Tile<kTileExperts>), a);
}

}  // namespace
}  // namespace remoe

int32_t remoe_relu_router_forward(uint64_t context, int32_t dtype, uint64_t gates, uint64_t mask,
                                  uint64_t counts, uint64_t gate_sums, uint64_t x, uint64_t w,
                                  int32_t tokens, int32_t hidden, int32_t experts,
                                  int32_t activation) {
  using namespace remoe;
  return guard(context, "relu_router_forward", [&](Operation& op) {
    require(dtype >= REMOE_F32 && dtype <= REMOE_F64, "dtype %d is unknown", dtype);
    if (dtype != REMOE_F32) {
      fail(REMOE_UNSUPPORTED, "dtype %d: only fp32 is supported here", dtype);
    }
    require_size(tokens, "tokens");
    require_size(hidden, "hidden");
    require_size(experts, "experts");
    require(activation >= REMOE_GATE_RELU && activation <= REMOE_GATE_TANH,
            "activation %d is unknown", activation);
    const int tiles = (tokens + kTileTokens - 1) / kTileTokens;
    const size_t partials = static_cast<size_t>(tiles) * experts;
    const Scratch<int32_t> tile_counts(op, partials);
    const Scratch<float> tile_sums(op, partials);
    const RouterArguments a = {
        .gates = require_address<float>(gates, "gates"),
        .mask = require_address<uint32_t>(mask, "mask"),
        .tile_counts = tile_counts.data(),
        .tile_sums = tile_sums.data(),
        .operands = {.x = require_address<const float>(x, "x"),
                     .w = require_address<const float>(w, "w"),
                     .tokens = tokens,
                     .hidden = hidden,
                     .experts = experts},
        .activation = activation,
    };
    auto* total_counts = require_address<int32_t>(counts, "counts");
    auto* total_sums = require_address<float>(gate_sums, "gate_sums");
    // A wide tile reads x once for 128 experts, but multiplies zeros where there are fewer.
    if (experts <= 32) {
      launch_router<32>(op, a, tiles);
    } else if (experts <= 64) {
      launch_router<64>(op, a, tiles);
    } else {
      launch_router<128>(op, a, tiles);
    }
    op.launch(sum_tiles_kernel, dim3((experts + kWarps - 1) / kWarps), dim3(kThreads), 0,
              total_counts, total_sums, a.tile_counts, a.tile_sums, tiles, experts);
  });
}
