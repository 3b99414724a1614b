// Shared memory, tiles and the loading warpgroup of attention's gradient on wgmma, without atomics:
// one kernel for the gradients of keys and values, where a tile of keys stands still while queries
// pass; one for those of queries, where it is the other way round. Both are the same products
//
//   score = X1 Y1^T    slope = X2 Y2^T    p = exp(score - m) / l    ds = p (slope - <dO, o>)
//   out1 += ds Y1      out2 += p Y2
//
//             standing X1, X2   passing Y1, Y2   out1   out2
//   keys      K, V              Q, dO            dK     dV
//   queries   Q, dO             K, V             dQ     -
//
// each consumer with 64 rows of its own and 64 passing rows a step, p and ds from registers. p is
// rounded to bf16 once it is divided by l, instead of p and dO / l.
#pragma once

#include "attention/flash_tile.h"

namespace remoe::flash {

constexpr int kStanding = kConsumers * kSide;  // rows of a tile

template <int kHead>
struct GradientShared {
  static constexpr int kBlocks = divide_up(kHead, kSide);
  static constexpr int kSlots = kBlocks == 1 ? 6 : 3;
  static constexpr int kBuffers = 2;
  using Rows = Block[kBlocks];  // 64 elements of the head each
  Rows standing[kBuffers][2][kConsumers];
  Rows passing[kSlots][2];
  float statistics[kSlots][2][kSide];  // of passing queries
  Barrier standing_full[kBuffers];
  Barrier standing_empty[kBuffers];
  Barrier full[kSlots];
  Barrier empty[kSlots];
};

// What a gradient needs to know of every query: log2(l exp(m)), and <dO, o>. Sequences are padded
// to blocks; beyond them the first is infinite, which makes p 0, and the second 0.
struct Statistics {
  float* data;  // [2, batch, heads, padded]
  int heads;    // batch * heads
  int padded;

  __host__ __device__ __forceinline__ float* of(int which, int batch_head) const {
    return data + (static_cast<size_t>(which) * heads + batch_head) * padded;
  }
};

struct GradientArguments {
  Bf16* dq;
  Bf16* dk;
  Bf16* dv;
  Statistics statistics;
  AttentionSizes sizes;
  float scale;
};

struct GradientMaps {
  TensorMap q;
  TensorMap k;
  TensorMap v;
  TensorMap dout;
};

struct GradientTile {
  int batch;
  int head;   // of keys and values, or of queries
  int row;    // first
  int first;  // passing block of 64 rows
  int steps;  // blocks a head
  int heads;  // whose blocks pass, one head after the other
};

template <bool kKeysStand>
__host__ __device__ __forceinline__ int gradient_tiles(const AttentionSizes& sizes) {
  const int heads = kKeysStand ? sizes.groups : sizes.heads;
  return divide_up(sizes.sequence, kStanding) * heads * sizes.batch;
}

// The longest tiles first.
template <bool kKeysStand>
__device__ __forceinline__ bool find_tile(const AttentionSizes& sizes, int number,
                                          GradientTile& tile) {
  if (number >= gradient_tiles<kKeysStand>(sizes)) return false;
  const int heads = kKeysStand ? sizes.groups : sizes.heads;
  const int passing = divide_up(sizes.sequence, kSide);
  const int nth = number / (heads * sizes.batch);
  const int block = kKeysStand ? nth : divide_up(sizes.sequence, kStanding) - 1 - nth;
  const int diagonal = block * kConsumers;
  const int end = kKeysStand || diagonal + kConsumers > passing ? passing : diagonal + kConsumers;
  tile.batch = number % (heads * sizes.batch) / heads;
  tile.head = number % heads;
  tile.row = block * kStanding;
  tile.first = kKeysStand ? diagonal : 0;
  tile.steps = end - tile.first;
  tile.heads = kKeysStand ? sizes.heads_of_group() : 1;
  return true;
}

// One thread, which keeps the ring full.
template <int kHead, bool kKeysStand>
struct GradientProducer {
  using S = GradientShared<kHead>;
  static constexpr int kRowsBytes = S::kBlocks * kBlockBytes;
  static constexpr int kStatisticsBytes = kSide * sizeof(float);
  S& s;
  const GradientArguments& a;
  const GradientMaps& maps;
  int step = 0;

  __device__ __forceinline__ static void copy_rows(typename S::Rows& to, Barrier* full,
                                                   const TensorMap& map, int head, int row,
                                                   int batch) {
    for (int b = 0; b < S::kBlocks; b++) {
      copy_box(&to[b], map, head * kHead + b * kSide, row, batch, full);
    }
  }

  __device__ __forceinline__ void load_standing(const GradientTile& tile, int count) {
    const int buffer = count % S::kBuffers;
    Barrier* full = &s.standing_full[buffer];
    wait(&s.standing_empty[buffer], (count / S::kBuffers & 1) ^ 1);
    arrive_expect(full, 2 * kConsumers * kRowsBytes);
    for (int group = 0; group < kConsumers; group++) {
      const int row = tile.row + group * kSide;
      auto& to = s.standing[buffer];
      copy_rows(to[0][group], full, kKeysStand ? maps.k : maps.q, tile.head, row, tile.batch);
      copy_rows(to[1][group], full, kKeysStand ? maps.v : maps.dout, tile.head, row, tile.batch);
    }
  }

  __device__ __forceinline__ void push(const GradientTile& tile, int head, int row) {
    const int slot = step % S::kSlots;
    Barrier* full = &s.full[slot];
    wait(&s.empty[slot], (step / S::kSlots & 1) ^ 1);
    arrive_expect(full, 2 * kRowsBytes + (kKeysStand ? 2 * kStatisticsBytes : 0));
    copy_rows(s.passing[slot][0], full, kKeysStand ? maps.q : maps.k, head, row, tile.batch);
    copy_rows(s.passing[slot][1], full, kKeysStand ? maps.dout : maps.v, head, row, tile.batch);
    if constexpr (kKeysStand) {
      for (int which = 0; which < 2; which++) {
        const float* from = a.statistics.of(which, tile.batch * a.sizes.heads + head) + row;
        copy_bytes(s.statistics[slot][which], from, kStatisticsBytes, full);
      }
    }
    step++;
  }

  __device__ __forceinline__ void run() {
    const int ratio = a.sizes.heads_of_group();
    GradientTile tile;
    int count = 0;
    for (int number = static_cast<int>(blockIdx.x); find_tile<kKeysStand>(a.sizes, number, tile);
         number += static_cast<int>(gridDim.x), count++) {
      load_standing(tile, count);
      for (int h = 0; h < tile.heads; h++) {
        const int head = kKeysStand ? tile.head * ratio + h : tile.head / ratio;
        for (int i = 0; i < tile.steps; i++) push(tile, head, (tile.first + i) * kSide);
      }
    }
  }
};

}  // namespace remoe::flash
