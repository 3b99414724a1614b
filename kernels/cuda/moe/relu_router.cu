// ReLU routing, equation 5: gates = ReLU(x W), or another activation of it. The active-expert bits,
// the tokens per expert and the gate sums of the regularisation are computed from the logits while
// the warp still holds them.

#include <cmath>

#include "moe/router_product.h"
#include "moe/router_statistics.h"
#include "moe/routing_mask.h"

namespace remoe {
namespace {

template <int kTiles>
struct WarpSums {
  float gates[kRouterWarps][kTiles * kTileColumns];
  uint32_t counts[kRouterWarps][kTiles * kTileColumns];
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

// A word of the mask has the bits of four tiles. Each of the four lanes of a token's rows has two
// bits of a tile.
template <int kTiles>
__device__ __forceinline__ void write_mask(uint32_t* mask, const WarpTile<kTiles>& own,
                                           const Logits<kTiles>& gates, int tokens, int experts) {
  constexpr int kWordTiles = kTiles < 4 ? kTiles : 4;
  const int words = mask_words(experts);
#pragma unroll
  for (int first = 0; first < kTiles; first += kWordTiles) {
    uint32_t bits[2] = {0, 0};
#pragma unroll
    for (int tile = 0; tile < kWordTiles; tile++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const uint32_t bit = gates[first + tile][i] != 0.0f ? 1 : 0;
        bits[i / 2] |= bit << (own.expert(tile, i) % 32);
      }
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
      bits[i] |= __shfl_xor_sync(kFullWarp, bits[i], 1);
      bits[i] |= __shfl_xor_sync(kFullWarp, bits[i], 2);
      const int word = own.expert(first, 0) / 32;
      const int token = own.token(2 * i);
      if (threadIdx.x % 4 == 0 && token < tokens && word < words) {
        mask[static_cast<size_t>(token) * words + word] = bits[i];
      }
    }
  }
}

// Sums over the eight lanes that hold a tile's column, in each of them.
template <class Value>
__device__ __forceinline__ Value column_sum(Value value) {
#pragma unroll
  for (int step = 4; step < kWarp; step *= 2) value += __shfl_xor_sync(kFullWarp, value, step);
  return value;
}

template <int kTiles>
__device__ __forceinline__ void sum_warp(WarpSums<kTiles>& shared, const Logits<kTiles>& gates) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
#pragma unroll
  for (int tile = 0; tile < kTiles; tile++) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const float upper = gates[tile][i];
      const float lower = gates[tile][i + 2];
      const float sum = column_sum(upper + lower);
      const uint32_t count =
          column_sum<uint32_t>((upper != 0.0f ? 1 : 0) + (lower != 0.0f ? 1 : 0));
      if (lane >= 4) continue;
      shared.gates[warp][tile * kTileColumns + lane * 2 + i] = sum;
      shared.counts[warp][tile * kTileColumns + lane * 2 + i] = count;
    }
  }
}

template <class T, int kTiles, bool kWide>
__global__ void __launch_bounds__(kRouterThreads) relu_router_kernel(RouterArguments<T> a) {
  WarpSums<kTiles>& shared = gpu::shared<WarpSums<kTiles>>();
  const int tokens = a.operands.tokens;
  const int experts = a.operands.experts;
  const WarpTile<kTiles> own;
  Logits<kTiles> gates = {};
  router_product<kWide>(a.operands, own, gates);
#pragma unroll
  for (int tile = 0; tile < kTiles; tile++) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      // Outside the matrices a logit may be NaN: infinity times the padding.
      const bool inside = own.token(i) < tokens && own.expert(tile, i) < experts;
      gates[tile][i] = inside ? gate_of(gates[tile][i], a.activation) : 0.0f;
    }
  }
  store_tile(a.gates, own, gates, tokens, experts);
  write_mask(a.mask, own, gates, tokens, experts);
  sum_warp(shared, gates);
  __syncthreads();
  const int column = static_cast<int>(threadIdx.x);
  const int expert = static_cast<int>(blockIdx.y) * kTiles * kTileColumns + column;
  if (column >= kTiles * kTileColumns || expert >= experts) return;
  float sum = 0.0f;
  uint32_t count = 0;
#pragma unroll
  for (int warp = 0; warp < kRouterWarps; warp++) {
    sum += shared.gates[warp][column];
    count += shared.counts[warp][column];
  }
  const size_t slot = static_cast<size_t>(blockIdx.x) * experts + expert;
  a.tile_sums[slot] = sum;
  a.tile_counts[slot] = static_cast<int32_t>(count);
}

}  // namespace
}  // namespace remoe

int32_t remoe_relu_router_forward(uint64_t context, int32_t dtype, uint64_t gates, uint64_t mask,
                                  uint64_t counts, uint64_t gate_sums, uint64_t x, uint64_t w,
                                  int32_t tokens, int32_t hidden, int32_t experts,
                                  int32_t activation) {
  using namespace remoe;
  return guard(context, "relu_router_forward", [&](Operation& op) {
    const RouterInput input = {dtype, x, w, tokens, hidden, experts};
    require_router_input(input);
    require(activation >= REMOE_GATE_RELU && activation <= REMOE_GATE_TANH,
            "activation %d is unknown", activation);
    auto* gate_values = require_address<float>(gates, "gates");
    auto* bits = require_address<uint32_t>(mask, "mask");
    auto* total_counts = require_address<int32_t>(counts, "counts");
    auto* total_sums = require_address<float>(gate_sums, "gate_sums");
    const TileStatistics statistics(op, tokens, experts);
    with_router_product(op, input, [&](auto operands, auto tiles, auto wide) {
      using T = std::remove_cvref_t<decltype(*operands.x)>;
      const RouterArguments<T> a = {
          .gates = gate_values,
          .mask = bits,
          .tile_counts = statistics.counts(),
          .tile_sums = statistics.sums(),
          .operands = operands,
          .activation = activation,
      };
      op.launch(relu_router_kernel<T, tiles.value, wide.value>,
                router_grid(tokens, experts, tiles.value), dim3(kRouterThreads),
                sizeof(WarpSums<tiles.value>), a);
    });
    statistics.reduce(op, total_counts, total_sums);
  });
}
