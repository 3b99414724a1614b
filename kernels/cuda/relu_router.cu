// ReLU routing, equation 5: gates = ReLU(x W), with the active-expert bits, the tokens per expert
// and the gate sums of the regularisation taken from the tile while it is still in the block.

#include "block_scan.h"
#include "operation.h"

namespace remoe {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kTileTokens = 64;
// 16 columns of x are 64 bytes of each token, so that a warp's load fills whole sectors.
constexpr int kTileDepth = 16;
// Stores of x run down a column of the tile: a stride of 2 banks plus the 2 tokens of a warp
// touch all 32 banks once.
constexpr int kTokenStride = kTileTokens + 2;
constexpr int kThreadTokens = 4;
constexpr int kColumnThreads = kThreads / (kTileTokens / kThreadTokens);

// The product runs in fp32 on the plain cores, since routing decisions hang on the sign of a logit.
// A tile of 32 experts does 16 operations for each byte of x: about as many as an A100 or H100 has
// time for while memory delivers it.
template <int kTileExperts>
struct Tile {
  float x[2][kTileDepth][kTokenStride];
  float w[2][kTileDepth][kTileExperts];
  float gates[kTileTokens][kTileExperts + 1];
  float warp_sums[kWarps][kTileExperts];
  int32_t warp_counts[kWarps][kTileExperts];
};

struct RouterArguments {
  float* gates;
  uint32_t* mask;
  int32_t* tile_counts;  // [token tiles, E]
  float* tile_sums;      // [token tiles, E]
  const float* x;
  const float* w;
  int tokens;
  int hidden;
  int experts;
};

// One step of depth, held in registers while the previous one is multiplied.
template <int kTileExperts>
struct Fragment {
  static constexpr int kTokenLoads = kTileTokens * kTileDepth / kThreads;
  static constexpr int kWeightLoads = kTileExperts * kTileDepth / kThreads;
  float x[kTokenLoads];
  float w[kWeightLoads];

  // Outside the matrices the product adds zeros.
  __device__ __forceinline__ void load(const RouterArguments& a, int token0, int expert0, int d0) {
    const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
    for (int i = 0; i < kTokenLoads; i++) {
      const int token = token0 + thread / kTileDepth + i * (kThreads / kTileDepth);
      const int d = d0 + thread % kTileDepth;
      const bool inside = token < a.tokens && d < a.hidden;
      x[i] = inside ? a.x[static_cast<size_t>(token) * a.hidden + d] : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < kWeightLoads; i++) {
      const int d = d0 + thread / kTileExperts + i * (kThreads / kTileExperts);
      const int expert = expert0 + thread % kTileExperts;
      const bool inside = d < a.hidden && expert < a.experts;
      w[i] = inside ? a.w[static_cast<size_t>(d) * a.experts + expert] : 0.0f;
    }
  }

  __device__ __forceinline__ void store(Tile<kTileExperts>& tile, int stage) const {
    const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
    for (int i = 0; i < kTokenLoads; i++) {
      const int token = thread / kTileDepth + i * (kThreads / kTileDepth);
      tile.x[stage][thread % kTileDepth][token] = x[i];
    }
#pragma unroll
    for (int i = 0; i < kWeightLoads; i++) {
      const int d = thread / kTileExperts + i * (kThreads / kTileExperts);
      tile.w[stage][d][thread % kTileExperts] = w[i];
    }
  }
};

template <int kTileExperts>
__device__ __forceinline__ void multiply(
    const Tile<kTileExperts>& tile, int stage, int row, int column,
    float (&logits)[kThreadTokens][kTileExperts / kColumnThreads]) {
#pragma unroll
  for (int d = 0; d < kTileDepth; d++) {
#pragma unroll
    for (int i = 0; i < kThreadTokens; i++) {
#pragma unroll
      for (int j = 0; j < kTileExperts / kColumnThreads; j++) {
        logits[i][j] += tile.x[stage][d][row + i] * tile.w[stage][d][column + j * kColumnThreads];
      }
    }
  }
}

// Each warp takes every eighth token, a lane an expert: a ballot over the lanes is one word of
// the mask, and the lane's own running sums are its expert's.
template <int kTileExperts>
__device__ __forceinline__ void count_active(Tile<kTileExperts>& tile, const RouterArguments& a,
                                             int token0, int expert0) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int words = (a.experts + kWarp - 1) / kWarp;
  for (int word = 0; word < kTileExperts / kWarp; word++) {
    const int mask_word = expert0 / kWarp + word;
    float sum = 0.0f;
    int32_t count = 0;
    for (int row = warp; row < kTileTokens; row += kWarps) {
      const float gate = tile.gates[row][word * kWarp + lane];
      const uint32_t active = __ballot_sync(kFullWarp, gate != 0.0f);
      sum += gate;
      count += gate != 0.0f ? 1 : 0;
      const int token = token0 + row;
      if (lane == 0 && a.mask != nullptr && token < a.tokens && mask_word < words) {
        a.mask[static_cast<size_t>(token) * words + mask_word] = active;
      }
    }
    tile.warp_sums[warp][word * kWarp + lane] = sum;
    tile.warp_counts[warp][word * kWarp + lane] = count;
  }
}

// Three blocks a multiprocessor leave 85 registers a thread, enough to spill nothing.
template <int kTileExperts>
__global__ void __launch_bounds__(kThreads, 3) relu_router_kernel(RouterArguments a) {
  constexpr int kThreadExperts = kTileExperts / kColumnThreads;
  Tile<kTileExperts>& tile = gpu::shared<Tile<kTileExperts>>();
  const int thread = static_cast<int>(threadIdx.x);
  const int token0 = static_cast<int>(blockIdx.x) * kTileTokens;
  const int expert0 = static_cast<int>(blockIdx.y) * kTileExperts;
  const int row = thread / kColumnThreads * kThreadTokens;
  const int column = thread % kColumnThreads;

  float logits[kThreadTokens][kThreadExperts] = {};
  Fragment<kTileExperts> next;
  next.load(a, token0, expert0, 0);
  // Two stages make one barrier a step enough: a stage is written again only after the barrier
  // of the step between, which every reader of it has passed.
  for (int d0 = 0, stage = 0; d0 < a.hidden; d0 += kTileDepth, stage ^= 1) {
    next.store(tile, stage);
    __syncthreads();
    if (d0 + kTileDepth < a.hidden) next.load(a, token0, expert0, d0 + kTileDepth);
    multiply(tile, stage, row, column, logits);
  }

#pragma unroll
  for (int i = 0; i < kThreadTokens; i++) {
#pragma unroll
    for (int j = 0; j < kThreadExperts; j++) {
      const int token = token0 + row + i;
      const int expert = expert0 + column + j * kColumnThreads;
      // Outside the matrices a logit need not be 0: an infinity or NaN times the padding is NaN.
      const bool inside = token < a.tokens && expert < a.experts;
      // Written so that NaN stays NaN: a diverged run must show, not route nothing.
      const float gate = !inside || logits[i][j] <= 0.0f ? 0.0f : logits[i][j];
      tile.gates[row + i][column + j * kColumnThreads] = gate;
      if (inside) a.gates[static_cast<size_t>(token) * a.experts + expert] = gate;
    }
  }
  __syncthreads();
  count_active(tile, a, token0, expert0);
  __syncthreads();
  if (thread < kTileExperts && expert0 + thread < a.experts) {
    float sum = 0.0f;
    int32_t count = 0;
    for (int warp = 0; warp < kWarps; warp++) {
      sum += tile.warp_sums[warp][thread];
      count += tile.warp_counts[warp][thread];
    }
    const size_t slot = static_cast<size_t>(blockIdx.x) * a.experts + expert0 + thread;
    a.tile_sums[slot] = sum;
    a.tile_counts[slot] = count;
  }
}

// One warp an expert adds the tiles' partial results in a fixed order; floating-point atomics
// would add them in the order of arrival.
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
  const dim3 grid(tiles, (a.experts + kTileExperts - 1) / kTileExperts);
  op.launch(relu_router_kernel<kTileExperts>, grid, dim3(kThreads), sizeof(Tile<kTileExperts>), a);
}

}  // namespace
}  // namespace remoe

int32_t remoe_relu_router_forward(uint64_t context, uint64_t gates, uint64_t mask, uint64_t counts,
                                  uint64_t gate_sums, uint64_t x, uint64_t w, int32_t tokens,
                                  int32_t hidden, int32_t experts) {
  using namespace remoe;
  return guard(context, "relu_router_forward", [&](Operation& op) {
    require_size(tokens, "tokens");
    require_size(hidden, "hidden");
    require_size(experts, "experts");
    const int tiles = (tokens + kTileTokens - 1) / kTileTokens;
    const size_t partials = static_cast<size_t>(tiles) * experts;
    const Scratch<int32_t> tile_counts(op, partials);
    const Scratch<float> tile_sums(op, partials);
    const RouterArguments a = {
        .gates = require_address<float>(gates, "gates"),
        .mask = optional_address<uint32_t>(mask, "mask"),
        .tile_counts = tile_counts.data(),
        .tile_sums = tile_sums.data(),
        .x = require_address<const float>(x, "x"),
        .w = require_address<const float>(w, "w"),
        .tokens = tokens,
        .hidden = hidden,
        .experts = experts,
    };
    auto* total_counts = require_address<int32_t>(counts, "counts");
    auto* total_sums = require_address<float>(gate_sums, "gate_sums");
    // A wide tile reads x once for 64 experts, but multiplies zeros where there are fewer.
    if (experts <= 32) {
      launch_router<32>(op, a, tiles);
    } else {
      launch_router<64>(op, a, tiles);
    }
    op.launch(sum_tiles_kernel, dim3((experts + kWarps - 1) / kWarps), dim3(kThreads), 0,
              total_counts, total_sums, a.tile_counts, a.tile_sums, tiles, experts);
  });
}
