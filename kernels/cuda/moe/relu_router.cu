// ReLU routing, equation 5: gates = ReLU(x W), or another activation of it. The active-expert bits,
// the tokens per expert and the gate sums of the regularisation are computed from the tile while
// the block still holds it.

#include <cmath>

#include "device/block_scan.h"
#include "moe/router_product.h"
#include "moe/router_statistics.h"
#include "runtime/dtype.h"
#include "runtime/operation.h"

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

template <class T>
struct RouterArguments {
  float* gates;
  uint32_t* mask;
  int32_t* tile_counts;  // [token tiles, E]
  float* tile_sums;      // [token tiles, E]
  RouterOperands<T> operands;
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
template <class T, int kTileExperts>
__device__ __forceinline__ void write_gates(Tile<kTileExperts>& tile, const RouterArguments<T>& a,
                                            int token0, int expert0) {
  const int tokens = a.operands.tokens;
  const int experts = a.operands.experts;
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
template <class T, int kTileExperts, bool kWide>
__global__ void __launch_bounds__(kThreads, 2) relu_router_kernel(RouterArguments<T> a) {
  Tile<kTileExperts>& tile = gpu::shared<Tile<kTileExperts>>();
  const int tokens = a.operands.tokens;
  const int experts = a.operands.experts;
  const int thread = static_cast<int>(threadIdx.x);
  const int token0 = static_cast<int>(blockIdx.x) * kTileTokens;
  const int expert0 = static_cast<int>(blockIdx.y) * kTileExperts;
  const ThreadTile<kTileExperts> own;

  Logits<kTileExperts> logits = {};
  router_product<kWide>(tile.product, a.operands, token0, expert0, own, logits);
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

template <class T>
void launch_router(Operation& op, const RouterArguments<T>& a) {
  const int experts = a.operands.experts;
  with_router_tile(experts, has_wide_rows(a.operands), [&](auto tile, auto wide) {
    op.launch(relu_router_kernel<T, tile.value, wide.value>,
              router_grid(a.operands.tokens, experts, tile.value), dim3(kThreads),
              sizeof(Tile<tile.value>), a);
  });
}

}  // namespace
}  // namespace remoe

int32_t remoe_relu_router_forward(uint64_t context, int32_t dtype, uint64_t gates, uint64_t mask,
                                  uint64_t counts, uint64_t gate_sums, uint64_t x, uint64_t w,
                                  int32_t tokens, int32_t hidden, int32_t experts,
                                  int32_t activation) {
  using namespace remoe;
  return guard(context, "relu_router_forward", [&](Operation& op) {
    require_float(dtype);
    require(activation >= REMOE_GATE_RELU && activation <= REMOE_GATE_TANH,
            "activation %d is unknown", activation);
    require_size(tokens, "tokens");
    require_size(hidden, "hidden");
    require_size(experts, "experts");
    auto* total_counts = require_address<int32_t>(counts, "counts");
    auto* total_sums = require_address<float>(gate_sums, "gate_sums");
    TileStatistics statistics(op, tokens, experts);
    with_activations(dtype, [&](auto element) {
      using T = decltype(element);
      const RouterArguments<T> a = {
          .gates = require_address<float>(gates, "gates"),
          .mask = require_address<uint32_t>(mask, "mask"),
          .tile_counts = statistics.counts(),
          .tile_sums = statistics.sums(),
          .operands = {.x = require_address<const T>(x, "x"),
                       .w = require_address<const float>(w, "w"),
                       .tokens = tokens,
                       .hidden = hidden,
                       .experts = experts},
          .activation = activation,
      };
      launch_router(op, a);
    });
    statistics.reduce(op, total_counts, total_sums);
  });
}
