#include "device/block_scan.h"
#include "moe/router_input.h"
#include "moe/router_statistics.h"

namespace remoe {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;

struct TileArguments {
  int32_t* tile_counts;  // [token tiles, E]
  float* tile_sums;      // [token tiles, E]
  const uint32_t* mask;
  const float* values;
  int tokens;
  int experts;
};

struct TileShared {
  float sums[kWarps][kWarp];
  int32_t counts[kWarps][kWarp];
};

// A block takes a tile's tokens of one word of the mask, a lane an expert, and a warp every eighth
// token: the values, which have just been written, are read from L2 in whole lines.
__global__ void __launch_bounds__(kThreads) column_statistics_kernel(TileArguments a) {
  TileShared& shared = gpu::shared<TileShared>();
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int word = static_cast<int>(blockIdx.y);
  const int words = static_cast<int>(gridDim.y);
  const int expert = word * kWarp + lane;
  float sum = 0.0f;
  int32_t count = 0;
#pragma unroll
  for (int i = warp; i < kTileTokens; i += kWarps) {
    const size_t token = static_cast<size_t>(blockIdx.x) * kTileTokens + i;
    if (token >= static_cast<size_t>(a.tokens) || expert >= a.experts) continue;
    sum += a.values[token * a.experts + expert];
    count += static_cast<int32_t>(a.mask[token * words + word] >> lane & 1u);
  }
  shared.sums[warp][lane] = sum;
  shared.counts[warp][lane] = count;
  __syncthreads();
  if (warp != 0 || expert >= a.experts) return;
#pragma unroll
  for (int w = 1; w < kWarps; w++) {
    sum += shared.sums[w][lane];
    count += shared.counts[w][lane];
  }
  const size_t slot = static_cast<size_t>(blockIdx.x) * a.experts + expert;
  a.tile_sums[slot] = sum;
  a.tile_counts[slot] = count;
}

// One warp per expert adds up the tiles.
__global__ void __launch_bounds__(kThreads)
    sum_tiles_kernel(int32_t* counts, float* sums, const int32_t* tile_counts,
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
    sums[expert] = sum;
    counts[expert] = count;
  }
}

}  // namespace

TileStatistics::TileStatistics(Operation& op, int tokens, int experts)
    : tiles_((tokens - 1) / kTileTokens + 1),
      experts_(experts),
      counts_(op, static_cast<size_t>(tiles_) * experts),
      sums_(op, static_cast<size_t>(tiles_) * experts) {}

void TileStatistics::reduce(Operation& op, int32_t* counts, float* sums) const {
  op.launch(sum_tiles_kernel, dim3((experts_ - 1) / kWarps + 1), dim3(kThreads), 0, counts, sums,
            counts_.data(), sums_.data(), tiles_, experts_);
}

void router_statistics(Operation& op, int32_t* counts, float* sums, const uint32_t* mask,
                       const float* values, int tokens, int experts) {
  const TileStatistics statistics(op, tokens, experts);
  const TileArguments a = {
      .tile_counts = statistics.counts(),
      .tile_sums = statistics.sums(),
      .mask = mask,
      .values = values,
      .tokens = tokens,
      .experts = experts,
  };
  op.launch(column_statistics_kernel,
            dim3((tokens - 1) / kTileTokens + 1, (experts - 1) / kWarp + 1), dim3(kThreads),
            sizeof(TileShared), a);
  statistics.reduce(op, counts, sums);
}

}  // namespace remoe
