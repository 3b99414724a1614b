// ReLU routing, equation 5: gates = ReLU(x W), or another activation of it. The active-expert bits,
// the tokens per expert and the gate sums of the regularisation are computed from the logits while
// the warp still holds them.

#include <cmath>

#include "moe/router_launch.h"
#include "moe/router_statistics.h"
#include "moe/routing_mask.h"

namespace remoe {
namespace {

template <class Shape>
struct RouterShared {
  SplitSums<Shape> splits;
  float gate_sums[Shape::kTokenWarps][Shape::kExperts];
  uint32_t counts[Shape::kTokenWarps][Shape::kExperts];
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

// A warp has at most a word of a token's mask, of which each of the four lanes that hold the token
// has two bits of a tile.
template <class Shape>
__device__ __forceinline__ void write_mask(uint32_t* mask, const WarpTile<Shape>& own,
                                           const Logits<Shape>& gates, int tokens, int experts) {
  static_assert(Shape::kTiles <= 4);
  uint32_t bits[2 * Shape::kRows] = {};
  for_each_logit<Shape>([&](int row, int tile, int i) {
    const uint32_t bit = gates[row][tile][i] != 0.0f ? 1 : 0;
    bits[2 * row + i / 2] |= bit << own.expert(tile, i) % 32;
  });
  const int words = mask_words(experts);
  const int word = own.first_expert / 32;
#pragma unroll
  for (int i = 0; i < 2 * Shape::kRows; i++) {
    bits[i] |= __shfl_xor_sync(kFullWarp, bits[i], 1);
    bits[i] |= __shfl_xor_sync(kFullWarp, bits[i], 2);
    const int token = own.token(i / 2, i % 2 * 2);
    if (threadIdx.x % 4 == 0 && token < tokens && word < words) {
      mask[static_cast<size_t>(token) * words + word] = bits[i];
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

template <class Shape>
__device__ __forceinline__ void sum_warp(RouterShared<Shape>& shared, const Logits<Shape>& gates) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
#pragma unroll
  for (int tile = 0; tile < Shape::kTiles; tile++) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      float sum = 0.0f;
      uint32_t count = 0;
#pragma unroll
      for (int row = 0; row < 2 * Shape::kRows; row++) {
        const float gate = gates[row / 2][tile][row % 2 * 2 + i];
        sum += gate;
        count += gate != 0.0f ? 1 : 0;
      }
      sum = column_sum(sum);
      count = column_sum(count);
      const int column = (warp % Shape::kColumns * Shape::kTiles + tile) * kTileColumns;
      if (lane >= 4) continue;
      shared.gate_sums[warp / Shape::kColumns][column + lane * 2 + i] = sum;
      shared.counts[warp / Shape::kColumns][column + lane * 2 + i] = count;
    }
  }
}

template <class T, class Shape, bool kWide>
__global__ void __launch_bounds__(Shape::kThreads, Shape::kBlocks)
    relu_router_kernel(RouterArguments<T> a) {
  RouterShared<Shape>& shared = gpu::shared<RouterShared<Shape>>();
  const int tokens = a.operands.tokens;
  const int experts = a.operands.experts;
  const WarpTile<Shape> own;
  Logits<Shape> gates = {};
  router_product<kWide>(shared.splits, a.operands, own, gates);
  if (own.split == 0) {
    for_each_logit<Shape>([&](int row, int tile, int i) {
      // Outside the matrices a logit may be NaN: infinity times the padding.
      const bool inside = own.token(row, i) < tokens && own.expert(tile, i) < experts;
      gates[row][tile][i] = inside ? gate_of(gates[row][tile][i], a.activation) : 0.0f;
    });
    store_tile(a.gates, own, gates, tokens, experts);
    write_mask(a.mask, own, gates, tokens, experts);
    sum_warp(shared, gates);
  }
  __syncthreads();
  const int column = static_cast<int>(threadIdx.x);
  const int expert = static_cast<int>(blockIdx.y) * Shape::kExperts + column;
  if (column >= Shape::kExperts || expert >= experts) return;
  float sum = 0.0f;
  uint32_t count = 0;
#pragma unroll
  for (int warp = 0; warp < Shape::kTokenWarps; warp++) {
    sum += shared.gate_sums[warp][column];
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
    with_router_product(op, input, [&](auto operands, auto shape, auto wide) {
      using T = std::remove_cvref_t<decltype(*operands.x)>;
      using Shape = decltype(shape);
      const RouterArguments<T> a = {
          .gates = gate_values,
          .mask = bits,
          .tile_counts = statistics.counts(),
          .tile_sums = statistics.sums(),
          .operands = operands,
          .activation = activation,
      };
      op.launch(relu_router_kernel<T, Shape, wide.value>, shape.grid(tokens, experts),
                dim3(shape.kThreads), sizeof(RouterShared<Shape>), a);
    });
    statistics.reduce(op, total_counts, total_sums);
  });
}
