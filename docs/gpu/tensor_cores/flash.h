// Causal attention forward on wgmma, grouped queries, head sizes 64 and 128.
//
// One warpgroup loads, two take 64 of a tile's 128 queries each. Keys and values pass through one
// ring of slots in the order in which they are used: K0, then K1 V0, K2 V1, and so on, the last V.
// So the product for the next keys and that of the last values are under way together, and the
// softmax of the former runs while the latter still multiplies. Tiles of keys go from the diagonal
// down: only the first one has a mask.
#pragma once

#include "epilogues.h"

namespace remoe {

constexpr int kQueries = 128;
constexpr int kKeys = 128;
constexpr int kQueryBuffers = 2;

template <int kHead>
struct FlashShared {
  static constexpr int kBlocks = kHead / kSide;
  static constexpr int kSlots = kHead == 64 ? 8 : 4;
  using TileOfRows = Block[kBlocks][kQueries / kSide];  // 64 elements of the head, then 64 rows
  TileOfRows query[kQueryBuffers];
  TileOfRows ring[kSlots];
  Barrier query_full[kQueryBuffers];
  Barrier query_empty[kQueryBuffers];
  Barrier full[kSlots];
  Barrier empty[kSlots];
};

struct FlashArguments {
  bf16* o;     // [batch, length, heads, kHead]
  float* lse;  // [batch, length, heads]
  int batch;
  int length;
  int heads;
  int groups;     // of heads that share keys and values
  float scale;    // of the scores
  int alternate;  // the warpgroups take turns with their products
};

struct FlashTile {
  int batch;
  int head;
  int query;  // first row
  int steps;  // tiles of keys
};

// The longest tiles first, so that the short ones fill the end.
__host__ __device__ __forceinline__ bool find_flash_tile(const FlashArguments& a, int number,
                                                         FlashTile& tile) {
  const int blocks = divide_up(a.length, kQueries);
  const int heads = a.heads * a.batch;
  if (number >= blocks * heads) return false;
  const int block = blocks - 1 - number / heads;
  const int rest = number % heads;
  tile.batch = rest / a.heads;
  tile.head = rest % a.heads;
  tile.query = block * kQueries;
  tile.steps = block + 1;
  return true;
}

// ---- the producer

template <int kHead>
__device__ __forceinline__ void copy_rows(typename FlashShared<kHead>::TileOfRows& to,
                                          Barrier* full, const TensorMap& map, int head, int row,
                                          int batch) {
  constexpr int kBlocks = kHead / kSide;
  arrive_expect(full, kBlocks * (kQueries / kSide) * kBlockBytes);
  for (int d = 0; d < kBlocks; d++) {
    for (int r = 0; r < kQueries / kSide; r++) {
      copy_box(&to[d][r], map, head * kHead + d * kSide, row + r * kSide, batch, full);
    }
  }
}

template <int kHead>
struct FlashProducer {
  using S = FlashShared<kHead>;
  S& s;
  const FlashArguments& a;
  int slot = 0;  // counted on

  __device__ __forceinline__ void push(const TensorMap& map, const FlashTile& tile, int step) {
    const int i = slot % S::kSlots;
    wait(&s.empty[i], (slot / S::kSlots & 1) ^ 1);
    copy_rows<kHead>(s.ring[i], &s.full[i], map, tile.head / (a.heads / a.groups), step * kKeys,
                     tile.batch);
    slot++;
  }

  __device__ __forceinline__ void run(const TensorMap& q, const TensorMap& k, const TensorMap& v) {
    FlashTile tile;
    int count = 0;
    for (int number = static_cast<int>(blockIdx.x); find_flash_tile(a, number, tile);
         number += static_cast<int>(gridDim.x), count++) {
      const int buffer = count % kQueryBuffers;
      wait(&s.query_empty[buffer], (count / kQueryBuffers & 1) ^ 1);
      copy_rows<kHead>(s.query[buffer], &s.query_full[buffer], q, tile.head, tile.query,
                       tile.batch);
      push(k, tile, tile.steps - 1);
      for (int step = tile.steps - 2; step >= 0; step--) {
        push(k, tile, step);
        push(v, tile, step + 1);
      }
      push(v, tile, 0);
    }
  }
};

// ---- the consumers

// A warpgroup's running state: rows lane / 4 and lane / 4 + 8 of its warp's 16.
template <int kHead>
struct FlashConsumer {
  using S = FlashShared<kHead>;
  static constexpr int kScores = kKeys / 2;
  S& s;
  const FlashArguments& a;
  int group;
  int warp;
  int lane;
  int slot = 0;
  float score[kScores];
  float out[kHead / 2];
  uint32_t weight[kScores / 2];  // the softmax's numerators, as operand A
  float top[2];                  // the rows' highest score so far
  float sum[2];                  // this lane's part of the denominator

  __device__ __forceinline__ void await(int number) {
    wait(&s.full[number % S::kSlots], number / S::kSlots & 1);
  }
  __device__ __forceinline__ void free(int number) {
    if (lane == 0) arrive(&s.empty[number % S::kSlots]);
  }

  // Taking turns: one warpgroup's softmax runs beside the other's products. A turn is waited for
  // at a named barrier of one's own, where the other arrives; the second gives the first turn.
  static constexpr int kFirstBarrier = 2;
  __device__ __forceinline__ void take_turn() const {
    if (a.alternate) named_barrier_sync(kFirstBarrier + group, kConsumers * kWarpgroup);
  }
  __device__ __forceinline__ void give_turn() const {
    if (a.alternate) named_barrier_arrive(kFirstBarrier + 1 - group, kConsumers * kWarpgroup);
  }

  // score = Q K^T
  __device__ __forceinline__ void multiply_keys(int number, int buffer) {
    const auto& keys = s.ring[number % S::kSlots];
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < kHead; k += 16) {
      wgmma<0, 0>(score,
                  descriptor(&s.query[buffer][k / kSide][group].element[k % kSide], 16, 1024),
                  descriptor(&keys[k / kSide][0].element[k % kSide], 16, 1024), k > 0 ? 1 : 0);
    }
    wgmma_commit();
  }

  // out += weight V
  __device__ __forceinline__ void multiply_values(int number) {
    const auto& values = s.ring[number % S::kSlots];
    constexpr int kLeading = kKeys / kSide * kBlockBytes;
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < kKeys; k += 16) {
      const int i = k / 4;
      wgmma<1>(out, weight[i], weight[i + 1], weight[i + 2], weight[i + 3],
               descriptor(&values[0][k / kSide].element[k % kSide * kSide], kLeading, 1024));
    }
    wgmma_commit();
  }

  // Scores become numerators; returns the factors for what was summed before.
  template <bool kDiagonal>
  __device__ __forceinline__ void soften(float scale, float (&factor)[2]) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = group * kSide + warp * 16 + lane / 4 + half * 8;
      float high = kDiagonal ? -INFINITY : top[half];
#pragma unroll
      for (int j = 0; j < kKeys / 8; j++) {
#pragma unroll
        for (int p = 0; p < 2; p++) {
          float& x = score[j * 4 + half * 2 + p];
          if (kDiagonal && j * 8 + lane % 4 * 2 + p > row) x = -INFINITY;
          high = maximum(high, x);
        }
      }
      high = maximum(high, shuffle_xor(high, 1));
      high = maximum(high, shuffle_xor(high, 2));
      factor[half] = kDiagonal ? 0.0f : exp2_fast((top[half] - high) * scale);
      top[half] = high;
      const float shift = high * scale;
      float part = 0.0f;
#pragma unroll
      for (int j = 0; j < kKeys / 8; j++) {
#pragma unroll
        for (int p = 0; p < 2; p++) {
          float& x = score[j * 4 + half * 2 + p];
          x = exp2_fast(x * scale - shift);
          part += x;
        }
      }
      sum[half] = kDiagonal ? part : sum[half] * factor[half] + part;
    }
  }

  __device__ __forceinline__ void pack_weights() {
#pragma unroll
    for (int i = 0; i < kScores / 2; i++) weight[i] = pack(score[2 * i], score[2 * i + 1]);
  }

  __device__ __forceinline__ void store(const FlashTile& tile) {
    const int t = lane % 4;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float total = sum[half];
      total += shuffle_xor(total, 1);
      total += shuffle_xor(total, 2);
      const int row = tile.query + group * kSide + warp * 16 + lane / 4 + half * 8;
      const size_t place = (static_cast<size_t>(tile.batch) * a.length + row) * a.heads + tile.head;
      const float inverse = 1.0f / total;
      if (row < a.length && t == 0) a.lse[place] = top[half] * a.scale + log_fast(total);
#pragma unroll
      for (int j = 0; j < kHead / 8; j += 4) {
        uint32_t v[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
          v[i] = pack(out[(j + i) * 4 + half * 2] * inverse,
                      out[(j + i) * 4 + half * 2 + 1] * inverse);
        }
        transpose_4<1>(v, t);
        if (row < a.length) store_16(a.o + place * kHead + (j + t) * 8, v);
      }
    }
  }

  __device__ __forceinline__ void run() {
    const float scale = a.scale * 1.4426950408889634f;
    FlashTile tile;
    int count = 0;
    if (group == 1) give_turn();
    for (int number = static_cast<int>(blockIdx.x); find_flash_tile(a, number, tile);
         number += static_cast<int>(gridDim.x), count++) {
      const int buffer = count % kQueryBuffers;
      float factor[2];
#pragma unroll
      for (int i = 0; i < kHead / 2; i++) out[i] = 0.0f;
      wait(&s.query_full[buffer], count / kQueryBuffers & 1);
      await(slot);
      multiply_keys(slot, buffer);
      wgmma_wait<0>();
      free(slot++);
      soften<true>(scale, factor);
      pack_weights();
      for (int step = 1; step < tile.steps; step++, slot += 2) {
        await(slot);
        take_turn();
        multiply_keys(slot, buffer);
        await(slot + 1);
        multiply_values(slot + 1);
        give_turn();
        wgmma_wait<1>();  // the scores are there, the values' product may still run
        free(slot);
        soften<false>(scale, factor);
        wgmma_wait<0>();
        free(slot + 1);
#pragma unroll
        for (int i = 0; i < kHead / 2; i++) out[i] *= factor[i / 2 % 2];
        pack_weights();
      }
      if (lane == 0) arrive(&s.query_empty[buffer]);
      await(slot);
      multiply_values(slot);
      wgmma_wait<0>();
      free(slot++);
      store(tile);
    }
  }
};

template <int kHead>
__device__ __forceinline__ void flash_body(FlashShared<kHead>& s, const FlashArguments& a,
                                           const TensorMap& q, const TensorMap& k,
                                           const TensorMap& v) {
  constexpr int kWarps = kConsumers * kWarpgroup / kWarp;
  const int thread = static_cast<int>(threadIdx.x) % kWarpgroup;
  const int warpgroup = static_cast<int>(threadIdx.x) / kWarpgroup;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kQueryBuffers; i++) {
      barrier_init(&s.query_full[i], 1);
      barrier_init(&s.query_empty[i], kWarps);
    }
    for (int i = 0; i < FlashShared<kHead>::kSlots; i++) {
      barrier_init(&s.full[i], 1);
      barrier_init(&s.empty[i], kWarps);
    }
    barrier_init_fence();
  }
  __syncthreads();
  if (warpgroup == 0) {
    registers_down<40>();
    if (thread == 0) {
      FlashProducer<kHead> producer{s, a};
      producer.run(q, k, v);
    }
  } else {
    registers_up<232>();
    FlashConsumer<kHead> consumer{s, a, warpgroup - 1, thread / kWarp, thread % kWarp};
    consumer.run();
  }
}

}  // namespace remoe
