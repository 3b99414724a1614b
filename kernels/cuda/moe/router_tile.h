// How the warps of a block share the routers' product, and what a lane holds of it.
#pragma once

#include "device/block_scan.h"
#include "moe/router_input.h"
#include "moe/split_weights.h"

namespace remoe {

constexpr int kRowTokens = 16;

// A warp takes kRows rows of 16 tokens by kTiles tiles of 8 experts. Of a block, which takes
// kTileTokens tokens, kColumns warps lie side by side over the experts, and kSplits share the depth
// of the same logits.
template <int kRows_, int kTiles_, int kColumns_, int kSplits_>
struct RouterShape {
  static constexpr int kRows = kRows_;
  static constexpr int kTiles = kTiles_;
  static constexpr int kColumns = kColumns_;
  static constexpr int kSplits = kSplits_;
  static constexpr int kTokenWarps = kTileTokens / (kRows * kRowTokens);
  static constexpr int kSplitWarps = kTokenWarps * kColumns;
  static constexpr int kThreads = kSplitWarps * kSplits * kWarp;
  // Of a block.
  static constexpr int kTileCount = kTiles * kColumns;
  static constexpr int kExperts = kTileCount * kTileColumns;
  // W is split before, unless that costs a block less than the start of another kernel.
  static constexpr bool kSplitsBefore = kTileCount > 2;
  // Blocks per multiprocessor that the registers must suffice for. Up to 32 experts, x is what
  // takes the time, and more warps have more of it in flight.
  static constexpr int kBlocks = kRows == 1 ? 2 : 1;
  // For what a lane has of x in flight.
  static constexpr int kRegistersAhead = 32;

  static dim3 grid(int tokens, int experts) {
    return dim3((tokens - 1) / kTileTokens + 1, (experts - 1) / kExperts + 1);
  }
};

// A lane's logits: of each row of tokens and tile of experts, tokens `token` and `token` + 8 and
// two adjacent experts.
template <class Shape>
using Logits = float[Shape::kRows][Shape::kTiles][4];

// Where they lie.
template <class Shape>
struct WarpTile {
  int split;
  int first_token;
  int first_expert;

  __device__ __forceinline__ WarpTile() {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    const int row = warp / Shape::kColumns % Shape::kTokenWarps * Shape::kRows;
    const int tile = warp % Shape::kColumns * Shape::kTiles;
    split = warp / Shape::kSplitWarps;
    first_token = static_cast<int>(blockIdx.x) * kTileTokens + row * kRowTokens + lane / 4;
    first_expert =
        static_cast<int>(blockIdx.y) * Shape::kExperts + tile * kTileColumns + lane % 4 * 2;
  }

  // Of the i-th of a lane's four logits of a row and tile.
  __device__ __forceinline__ int token(int row, int i) const {
    return first_token + row * kRowTokens + i / 2 * 8;
  }
  __device__ __forceinline__ int expert(int tile, int i) const {
    return first_expert + tile * kTileColumns + i % 2;
  }
};

// Runs body(row, tile, i) for each of a lane's logits.
template <class Shape, class Body>
__device__ __forceinline__ void for_each_logit(Body&& body) {
#pragma unroll
  for (int row = 0; row < Shape::kRows; row++) {
#pragma unroll
    for (int tile = 0; tile < Shape::kTiles; tile++) {
#pragma unroll
      for (int i = 0; i < 4; i++) body(row, tile, i);
    }
  }
}

// Writes the values of the warp's pairs of token and expert.
template <class Shape>
__device__ __forceinline__ void store_tile(float* to, const WarpTile<Shape>& own,
                                           const Logits<Shape>& values, int tokens, int experts) {
  const bool is_paired = experts % 2 == 0 && reinterpret_cast<uintptr_t>(to) % 8 == 0;
  for_each_logit<Shape>([&](int row, int tile, int i) {
    const int expert = own.expert(tile, i);
    if (own.token(row, i) >= tokens || expert >= experts) return;
    float* place = to + static_cast<size_t>(own.token(row, i)) * experts + expert;
    if (!is_paired) {
      *place = values[row][tile][i];
    } else if (i % 2 == 0) {
      const Vector<float, 2> both = {values[row][tile][i], values[row][tile][i + 1]};
      store_vector(place, both);
    }
  });
}

}  // namespace remoe
