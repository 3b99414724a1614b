// Shared memory, tiles and the loading warpgroup of attention's forward pass on wgmma.
//
// Two warpgroups take 64 of a tile's 128 queries each. Keys and values pass through one ring of
// slots in the order in which they are used: K0, then K1 V0, K2 V1, and so on, the last V. So the
// product for the next keys and that of the last values are under way together, and the softmax of
// the former runs while the latter still multiplies. Tiles of keys go from the diagonal down: only
// the first one has a mask.
#pragma once

#include "attention/flash_tile.h"

namespace remoe::flash {

constexpr int kQueries = kConsumers * kSide;
constexpr int kKeys = kQueries;  // so that the last tile of keys is the diagonal
constexpr int kQueryBuffers = 2;

template <int kHead>
struct ForwardShared {
  static constexpr int kBlocks = divide_up(kHead, kSide);
  static constexpr int kSlots = kBlocks == 1 ? 8 : 4;
  using Rows = Block[kBlocks][kQueries / kSide];  // 64 elements of the head, then 64 rows
  Rows query[kQueryBuffers];
  Rows ring[kSlots];
  Barrier query_full[kQueryBuffers];
  Barrier query_empty[kQueryBuffers];
  Barrier full[kSlots];
  Barrier empty[kSlots];
};

struct ForwardArguments {
  Bf16* out;
  float* normalizer;  // or null
  AttentionSizes sizes;
  float scale;  // of the scores
};

struct ForwardMaps {
  TensorMap q;
  TensorMap k;
  TensorMap v;
};

struct ForwardTile {
  int batch;
  int head;
  int query;  // first row
  int steps;  // tiles of keys
};

__host__ __device__ __forceinline__ int forward_tiles(const AttentionSizes& sizes) {
  return divide_up(sizes.sequence, kQueries) * sizes.heads * sizes.batch;
}

// The longest tiles first, so that the short ones fill the end.
__device__ __forceinline__ bool find_tile(const AttentionSizes& sizes, int number,
                                          ForwardTile& tile) {
  if (number >= forward_tiles(sizes)) return false;
  const int heads = sizes.heads * sizes.batch;
  const int block = divide_up(sizes.sequence, kQueries) - 1 - number / heads;
  tile.batch = number % heads / sizes.heads;
  tile.head = number % sizes.heads;
  tile.query = block * kQueries;
  tile.steps = block + 1;
  return true;
}

// One thread, which keeps the ring full.
template <int kHead>
struct ForwardProducer {
  using S = ForwardShared<kHead>;
  S& s;
  const AttentionSizes& sizes;
  int slot = 0;  // counted on

  __device__ __forceinline__ static void copy_rows(typename S::Rows& to, Barrier* full,
                                                   const TensorMap& map, int head, int row,
                                                   int batch) {
    arrive_expect(full, S::kBlocks * (kQueries / kSide) * kBlockBytes);
    for (int d = 0; d < S::kBlocks; d++) {
      for (int r = 0; r < kQueries / kSide; r++) {
        copy_box(&to[d][r], map, head * kHead + d * kSide, row + r * kSide, batch, full);
      }
    }
  }

  __device__ __forceinline__ void push(const TensorMap& map, const ForwardTile& tile, int step) {
    const int i = slot % S::kSlots;
    wait(&s.empty[i], (slot / S::kSlots & 1) ^ 1);
    copy_rows(s.ring[i], &s.full[i], map, tile.head / sizes.heads_of_group(), step * kKeys,
              tile.batch);
    slot++;
  }

  __device__ __forceinline__ void run(const ForwardMaps& maps) {
    ForwardTile tile;
    int count = 0;
    for (int number = static_cast<int>(blockIdx.x); find_tile(sizes, number, tile);
         number += static_cast<int>(gridDim.x), count++) {
      const int buffer = count % kQueryBuffers;
      wait(&s.query_empty[buffer], (count / kQueryBuffers & 1) ^ 1);
      copy_rows(s.query[buffer], &s.query_full[buffer], maps.q, tile.head, tile.query, tile.batch);
      push(maps.k, tile, tile.steps - 1);
      for (int step = tile.steps - 2; step >= 0; step--) {
        push(maps.k, tile, step);
        push(maps.v, tile, step + 1);
      }
      push(maps.v, tile, 0);
    }
  }
};

}  // namespace remoe::flash
